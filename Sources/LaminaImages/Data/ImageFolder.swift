import LaminaCore

/// Pictures in a folder for each class: `PATH/CLASS/…/FILE.jpg`, as torchvision's `ImageFolder` takes them.
///
/// Classes are in the order of their names' bytes, pictures by class and then by path. Files whose names do not end in
/// `.jpg`, `.jpeg`, `.png` or a decoder's suffix, in either case, are left out, and so is what begins with a dot.
public struct ImageFolder: LabeledImages {
  /// Names of the classes: those of the folders.
  public let classNames: [String]
  private let files: [(path: String, label: Int)]
  private let limits: Limits
  private let decoding: ImageDecodingOptions

  static let suffixes = [".jpg", ".jpeg", ".png"]
  private static let depth = 16

  /// The pictures below `path`.
  ///
  /// - Parameter classNames: the classes wanted, in the order of a model's labels; nil takes those that are there.
  /// - Throws: `notFound` when there is no such folder; `argument`, all problems at once, for fewer than two classes, a
  ///   class without pictures, or a folder that is none of `classNames`; `io`, `limit`.
  public init(
    path: String, classNames wanted: [String]? = nil, limits: Limits = Limits(),
    decoding: ImageDecodingOptions = ImageDecodingOptions()
  ) throws {
    self.limits = limits
    self.decoding = decoding
    let suffixes = Self.suffixes + decoding.decoders.flatMap(\.suffixes)
    let shown = path.escapedForDisplay(limit: 512)
    let found = try Folder.entries(path).filter(\.isFolder).map(\.name)
    let names = wanted ?? found
    var problems: [LaminaError] = []
    if wanted == nil, found.count < 2 {
      let text = found.first.map { "the one folder '\($0.escapedForDisplay())'" } ?? "none"
      problems.append(
        LaminaError(.argument, "expected a folder for each of at least two classes, found \(text)"))
    }
    for name in found where !names.contains(name) {
      let hint = nearestName(to: name, in: names).map { ", nearest is '\($0.escapedForDisplay())'" }
      problems.append(
        LaminaError(
          .argument,
          "the folder '\(name.escapedForDisplay())' is no class of the model\(hint ?? "")"))
    }
    var files: [(path: String, label: Int)] = []
    for (label, name) in names.enumerated() {
      let before = files.count
      var pending = found.contains(name) ? [("\(path)/\(name)", 0)] : []
      while let (folder, level) = pending.popLast() {
        guard level < Self.depth else {
          throw LaminaError(
            .limit, "expected at most \(Self.depth) folders within each other",
            path: folder.escapedForDisplay(limit: 512))
        }
        let entries = try Folder.entries(folder)
        for entry in entries where !entry.isFolder {
          let lowered = entry.name.lowercased()
          if suffixes.contains(where: lowered.hasSuffix) {
            files.append(("\(folder)/\(entry.name)", label))
          }
        }
        for entry in entries.reversed() where entry.isFolder {
          pending.append(("\(folder)/\(entry.name)", level + 1))
        }
      }
      if files.count == before, problems.count < 64 {
        problems.append(
          LaminaError(
            .argument, "class '\(name.escapedForDisplay())' has no pictures (.jpg, .jpeg or .png)"))
      }
      files[before...].sort { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
    }
    if let error = LaminaError.combining(problems) { throw error.at(shown) }
    self.files = files
    self.classNames = names
  }

  /// Number of pictures.
  public var count: Int { files.count }
  /// The class of a picture.
  public func label(of index: Int) -> Int { files[index].label }
  /// The picture's path.
  public func name(of index: Int) -> String { files[index].path }
  /// The file's bytes.
  public func content(of index: Int) throws -> [UInt8] {
    try FileReader(path: files[index].path, maximumBytes: limits.imageFileBytes).allBytes()
  }
  /// The decoded file, turned upright.
  public func image(at index: Int) throws -> Image {
    try Image.load(path: files[index].path, limits: limits, options: decoding)
  }
}
