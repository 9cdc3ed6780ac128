import LaminaCore

/// CIFAR-10 and CIFAR-100 in their binary form: records of one label (10) or a coarse and a fine one (100), then 1024
/// bytes each of red, green and blue, row by row (Krizhevsky 2009).
public struct CIFARBinary: LabeledImages {
  /// Names of the classes.
  public let classNames: [String]
  private let files: [(path: String, bytes: [UInt8])]
  private let places: [(file: Int, offset: Int)]
  private let labelBytes: Int
  private static let side = 32
  private static let pixels = side * side

  /// The names of CIFAR-10.
  public static let names = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
  ]

  /// The records of some files, one file behind the other.
  ///
  /// - Parameter classNames: 10 for CIFAR-10, 100 for CIFAR-100, whose fine labels are taken.
  /// - Throws: `notFound`, `io`, `limit`; `format` when a file is no whole number of records or a label is too large.
  public init(
    paths: [String], classNames: [String] = CIFARBinary.names, limits: Limits = Limits()
  ) throws {
    self.classNames = classNames
    labelBytes = classNames.count > 10 ? 2 : 1
    let record = labelBytes + 3 * Self.pixels
    var files: [(path: String, bytes: [UInt8])] = []
    var places: [(file: Int, offset: Int)] = []
    for (number, path) in paths.enumerated() {
      let shown = path.escapedForDisplay(limit: 512)
      let bytes = try GzipFile.bytes(path: path, maximumBytes: limits.weightFileBytes)
      guard !bytes.isEmpty, bytes.count % record == 0 else {
        throw LaminaError(
          .format, "expected records of \(record) bytes, found \(bytes.count) bytes", path: shown)
      }
      for offset in stride(from: 0, to: bytes.count, by: record) {
        guard bytes[offset + labelBytes - 1] < classNames.count else {
          throw LaminaError(
            .format,
            "expected labels below \(classNames.count), found \(bytes[offset + labelBytes - 1])",
            path: "\(shown) @ \(offset + labelBytes - 1)")
        }
        places.append((number, offset))
      }
      files.append((path, bytes))
    }
    self.files = files
    self.places = places
  }

  /// Number of pictures.
  public var count: Int { places.count }
  /// The class of a picture.
  public func label(of index: Int) -> Int {
    Int(files[places[index].file].bytes[places[index].offset + labelBytes - 1])
  }
  /// File and number.
  public func name(of index: Int) -> String {
    let (file, offset) = places[index]
    return "\(files[file].path)#\(offset / (labelBytes + 3 * Self.pixels))"
  }
  /// The picture's bytes.
  public func content(of index: Int) throws -> [UInt8] {
    let start = places[index].offset + labelBytes
    return Array(files[places[index].file].bytes[start..<start + 3 * Self.pixels])
  }
  /// The picture.
  public func image(at index: Int) throws -> Image {
    let planes = try content(of: index)
    return try Image(width: Self.side, height: Self.side) { target in
      for place in 0..<Self.pixels {
        for channel in 0..<3 { target[3 * place + channel] = planes[channel * Self.pixels + place] }
      }
    }
  }
}
