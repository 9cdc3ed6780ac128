import Foundation
import LaminaCore
import LaminaImages
import LaminaTestSupport
import Testing

private let pool = ThreadPool(threads: 2)

/// Pictures in memory; some may be broken.
private struct Pictures: LabeledImages {
  var classNames = ["a", "b", "c"]
  var contents: [[UInt8]]
  var labels: [Int]
  var count: Int { labels.count }
  func label(of index: Int) -> Int { labels[index] }
  func name(of index: Int) -> String { "p\(index)" }
  func content(of index: Int) throws -> [UInt8] { contents[index] }
  func image(at index: Int) throws -> Image {
    guard !contents[index].isEmpty else { throw LaminaError(.image, "broken") }
    return try Image(
      width: 4, height: 4,
      pixels: (0..<48).map { UInt8(truncatingIfNeeded: $0) ^ contents[index][0] })
  }

  static func many(_ count: Int) -> Pictures {
    Pictures(
      contents: (0..<count).map {
        [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)]
      },
      labels: (0..<count).map { $0 % 3 })
  }
}

private func folder() throws -> URL {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent(
    "lamina-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  return url
}

private func write(_ bytes: [UInt8], _ url: URL) throws {
  try FileManager.default.createDirectory(
    at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
  try Data(bytes).write(to: url)
}

private func bigEndian(_ numbers: Int...) -> [UInt8] {
  numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) } }
}

@Suite struct DataTests {
  // MARK: - Folders

  @Test func foldersAreClasses() throws {
    let root = try folder()
    defer { try? FileManager.default.removeItem(at: root) }
    for path in ["b/2.JPG", "b/10.png", "a/sub/x.jpeg", "a/z.jpg", "a/notes.txt", "a/.h.jpg"] {
      try write([1], root.appendingPathComponent(path))
    }
    let images = try ImageFolder(path: root.path)
    #expect(images.classNames == ["a", "b"])
    #expect(images.classCounts == [2, 2])
    let names = (0..<images.count).map { images.name(of: $0).dropFirst(root.path.count + 1) }
    #expect(names == ["a/sub/x.jpeg", "a/z.jpg", "b/10.png", "b/2.JPG"])
    #expect(
      failure { _ = try images.image(at: 0) }
        == "image: \(images.name(of: 0)): expected a JPEG or PNG picture, found 1 bytes of another kind"
    )
    let ordered = try ImageFolder(path: root.path, classNames: ["b", "a"])
    #expect(ordered.label(of: 0) == 0 && ordered.name(of: 0).hasSuffix("b/10.png"))
    #expect(
      failure { _ = try ImageFolder(path: root.path, classNames: ["aa", "b"]) }
        == "argument: \(root.path): 2 problems: the folder 'a' is no class of the model, nearest is 'aa'; class 'aa' has no pictures (.jpg, .jpeg or .png)"
    )
  }

  @Test func foldersThatAreNoDataAreRefused() throws {
    let root = try folder()
    defer { try? FileManager.default.removeItem(at: root) }
    let path = root.path
    #expect(
      failure { _ = try ImageFolder(path: path) }
        == "argument: \(path): expected a folder for each of at least two classes, found none")
    try write([1], root.appendingPathComponent("one/x.jpg"))
    #expect(
      failure { _ = try ImageFolder(path: path) }
        == "argument: \(path): expected a folder for each of at least two classes, found the one folder 'one'"
    )
    try FileManager.default.createDirectory(
      at: root.appendingPathComponent("two"), withIntermediateDirectories: true)
    #expect(
      failure { _ = try ImageFolder(path: path) }
        == "argument: \(path): class 'two' has no pictures (.jpg, .jpeg or .png)")
    #expect(
      failure { _ = try ImageFolder(path: path + "/none") }
        == "notFound: \(path)/none: no such folder")
    #expect(
      failure { _ = try ImageFolder(path: path + "/one/x.jpg") }
        == "io: \(path)/one/x.jpg: expected a folder, found a file")
  }

  // MARK: - IDX

  private static let idx: [UInt8] =
    [0, 0, 8, 3] + bigEndian(2, 2, 3) + (0..<12).map { UInt8(20 * $0) }
  private static let idxLabels: [UInt8] = [0, 0, 8, 1] + bigEndian(2) + [3, 9]

  @Test func idxFilesAreRead() throws {
    let root = try folder()
    defer { try? FileManager.default.removeItem(at: root) }
    let (images, labels) = (root.appendingPathComponent("i"), root.appendingPathComponent("l"))
    try write(Self.idx, images)
    try write(Self.idxLabels, labels)
    let set = try IDXImages(images: images.path, labels: labels.path)
    #expect(set.count == 2 && set.classNames.count == 10 && set.label(of: 1) == 9)
    #expect(
      try set.image(at: 1).pixels
        == (6..<12).flatMap { [UInt8](repeating: UInt8(20 * $0), count: 3) })
    #expect(set.name(of: 1) == "\(images.path)#1")
    #expect(
      failure {
        _ = try IDXImages(
          images: images.path, labels: labels.path, classNames: ["a", "b", "c", "d"])
      } == "format: \(labels.path) @ 9: expected labels below 4, found 9")
    #expect(
      failure { _ = try IDXImages(images: images.path, labels: images.path) }
        == "format: \(images.path): expected 2 labels, found [2, 2, 3]")
    #expect(
      failure { _ = try IDXImages(images: labels.path, labels: labels.path) }
        == "format: \(labels.path): expected pictures of 3 axes, found [2]")
  }

  @Test func everyTruncationOfAnIDXFileIsAnError() {
    for count in 0..<Self.idx.count {
      let text = failure { _ = try IDXFile(Array(Self.idx[..<count]), name: "f") }
      #expect(text?.hasPrefix("format: f @ ") == true, "\(count): \(text ?? "none")")
    }
  }

  @Test(arguments: [
    (0, 1, "format: f @ 0: expected an IDX file, which begins with two zero bytes"),
    (2, 13, "unsupported: f @ 2: expected unsigned bytes, type 8, found type 13"),
    (3, 0, "format: f @ 3: expected 1 to 4 axes, found 0"),
    (3, 5, "format: f @ 3: expected 1 to 4 axes, found 5"),
    (4, 255, "format: f @ 16: expected 25669140492 bytes for [4278190082, 2, 3], found 12"),
    (15, 4, "format: f @ 16: expected 16 bytes for [2, 2, 4], found 12"),
  ]) func brokenIDXFilesAreRefused(offset: Int, byte: UInt8, expected: String) {
    var bytes = Self.idx
    bytes[offset] = byte
    #expect(failure { _ = try IDXFile(bytes, name: "f") } == expected)
  }

  @Test(.enabled(if: sharedData != nil, "skipped: no shared data"))
  func mnistIsReadAsItIsPacked() throws {
    let path = try #require(sharedData) + "/mnist/t10k"
    let set = try IDXImages(
      images: "\(path)-images-idx3-ubyte.gz", labels: "\(path)-labels-idx1-ubyte.gz")
    #expect(set.count == 10_000)
    #expect((0..<5).map { set.label(of: $0) } == [7, 2, 1, 0, 4])
    #expect(set.classCounts == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    let packed = [UInt8](
      try Data(contentsOf: URL(fileURLWithPath: "\(path)-labels-idx1-ubyte.gz")))
    let root = try folder()
    defer { try? FileManager.default.removeItem(at: root) }
    for count in [10, 18, 100, packed.count - 9, packed.count - 1] {
      let file = root.appendingPathComponent("l.gz")
      try write(Array(packed[..<count]), file)
      let text = failure { _ = try IDXFile(path: file.path) }
      #expect(text?.contains("gzip data are broken or end early") == true, "\(count)")
    }
  }

  // MARK: - CIFAR and arrays

  @Test func cifarRecordsAreRead() throws {
    let root = try folder()
    defer { try? FileManager.default.removeItem(at: root) }
    let file = root.appendingPathComponent("data_batch_1.bin")
    let record =
      [UInt8](repeating: 10, count: 1024) + [UInt8](repeating: 20, count: 1024)
      + [UInt8](repeating: 30, count: 1024)
    try write([3] + record + [9] + record, file)
    let set = try CIFARBinary(paths: [file.path, file.path])
    #expect(set.count == 4 && set.label(of: 1) == 9 && set.name(of: 3) == "\(file.path)#1")
    #expect(Array(try set.image(at: 0).pixels[..<6]) == [10, 20, 30, 10, 20, 30])
    try write([10] + record, file)
    #expect(
      failure { _ = try CIFARBinary(paths: [file.path]) }
        == "format: \(file.path) @ 0: expected labels below 10, found 10")
    try write([1, 2, 3], file)
    #expect(
      failure { _ = try CIFARBinary(paths: [file.path]) }
        == "format: \(file.path): expected records of 3073 bytes, found 3 bytes")
    let hundred = (0..<100).map(String.init)
    try write([1, 99] + record, file)
    #expect(try CIFARBinary(paths: [file.path], classNames: hundred).label(of: 0) == 99)
  }

  @Test func rangesTravelWithArrays() throws {
    let unit = try Tensor([2, 1, 2], [0, 1, 0.5, 0.2] as [Float])
    func array(_ tensor: Tensor, _ range: ValueRange, _ labels: [Int] = [0, 1]) throws -> ImageArray
    {
      try ImageArray(tensor, range: range, labels: labels, classNames: ["a", "b"], name: "x")
    }
    #expect(try array(unit, .unit).image(at: 0).pixels == [0, 0, 0, 255, 255, 255])
    #expect(try array(unit, .symmetric).image(at: 0).pixels == [128, 128, 128, 255, 255, 255])
    #expect(
      failure { _ = try array(unit, .bytes) }
        == "argument: x: expected numbers in 0...255 for the range 'bytes', found none above 1: they fit the range 'unit'"
    )
    let bytes = try Tensor([2, 1, 2], [0, 255, 128, 3] as [Float])
    #expect(
      failure { _ = try array(bytes, .unit) }
        == "argument: x: expected numbers in 0.0...1.0 for the range 'unit', found 0.0...255.0: they fit the range 'bytes'"
    )
    #expect(
      failure { _ = try array(unit, .unit, [0, 2]) }
        == "argument: x: expected labels in 0...1, found 2 at 1")
    #expect(
      failure { _ = try array(unit, .unit, [0]) } == "argument: x: expected 2 labels, found 1")
    let planar = try Tensor([2, 3, 1, 2], (0..<12).map { Float($0) })
    #expect(try array(planar, .bytes).image(at: 0).pixels == [0, 2, 4, 1, 3, 5])
    let interleaved = try Tensor([2, 1, 2, 3], (0..<12).map { UInt8($0) })
    #expect(try array(interleaved, .bytes).image(at: 1).pixels == [6, 7, 8, 9, 10, 11])
  }

  // MARK: - Splits

  @Test func splitsAreStratifiedAndStay() throws {
    let images = Pictures.many(300)
    let split = try StratifiedSplit(images, holdingOut: 0.2, seed: 1, pool: pool)
    #expect(split.validation.count == 60)
    #expect(ImageSubset(images, split.validation).classCounts == [20, 20, 20])
    #expect(Set(split.training + split.validation) == Set(0..<300))
    // Another order of the same pictures is divided alike.
    let order = (0..<300).map { ($0 * 7) % 300 }
    let other = try StratifiedSplit(
      ImageSubset(images, order), holdingOut: 0.2, seed: 1, pool: pool)
    #expect(Set(other.validation.map { order[$0] }) == Set(split.validation))
    #expect(
      try StratifiedSplit(images, holdingOut: 0.2, seed: 2, pool: pool).validation
        != split.validation)
    let lines = split.manifest(of: images).split(separator: "\n")
    #expect(lines.count == 301)
    #expect(lines.count { $0.hasPrefix("validation\t") } == 60)
  }

  @Test func equalPicturesAreOnOneSide() throws {
    var images = Pictures.many(60)
    for index in 0..<30 { images.contents[index + 30] = images.contents[index] }
    for seed in 0..<5 as Range<UInt64> {
      let split = try StratifiedSplit(images, holdingOut: 0.3, seed: seed, pool: pool)
      let held = Set(split.validation)
      #expect(!held.isEmpty)
      for index in 0..<30 { #expect(held.contains(index) == held.contains(index + 30)) }
      #expect(split.duplicates.count == 30 && split.conflicts.isEmpty)
    }
    images.labels[40] = 2
    let split = try StratifiedSplit(images, holdingOut: 0.3, pool: pool)
    #expect(split.conflicts == [[10, 40]])
  }

  // MARK: - Broken pictures

  @Test func brokenPicturesAreListedLeftOutOrReplaced() throws {
    var images = Pictures.many(9)
    images.contents[3] = []
    images.contents[7] = []
    #expect(
      failure { _ = try CheckedImages(images, .error, pool: pool) }
        == "image: 2 problems: p3: broken; p7: broken")
    let skipped = try CheckedImages(images, .skip, pool: pool)
    #expect(skipped.broken.map(\.name) == ["p3", "p7"])
    #expect(
      (0..<7).map { skipped.images.name(of: $0) } == ["p0", "p1", "p2", "p4", "p5", "p6", "p8"])
    let replaced = try CheckedImages(images, .replace, pool: pool)
    #expect(replaced.images.count == 9)
    #expect((0..<9).map { replaced.images.label(of: $0) } == images.labels)
    for index in 0..<9 { _ = try replaced.images.image(at: index) }
    for index in [0, 3, 6] { images.contents[index] = [] }
    #expect(
      failure { _ = try CheckedImages(images, .skip, pool: pool) }
        == "image: every picture of class 'a' is broken")
    #expect(try CheckedImages(Pictures.many(3), .error, pool: pool).broken.isEmpty)
  }

  // MARK: - Batches

  private static let recipe = Preprocessing(
    resize: .none, centerCrop: nil, scale: 1, mean: [0], std: [1])

  @Test func batchesDoNotDependOnThreads() throws {
    var pipeline = ImagePipeline(Pictures.many(30), Self.recipe)
    pipeline.augmentations = [
      .horizontalFlip(), .randomCrop(.init(height: 4, width: 4), padding: 1),
    ]
    pipeline.cutoutSide = 2
    pipeline.lighting = 0.1
    pipeline.seed = 4
    let indices = [5, 29, 0, 17]
    let one = try pipeline.batch(indices, epoch: 2, pool: ThreadPool(threads: 1))
    let two = try pipeline.batch(indices, epoch: 2, pool: pool)
    #expect(one.inputs.elements(as: Float.self) == two.inputs.elements(as: Float.self))
    #expect(one.labels == [2, 2, 0, 2] && one.inputs.shape == [4, 3, 4, 4])
    let alone = try pipeline.batch([0], epoch: 2, pool: pool)
    #expect(
      alone.inputs.elements(as: Float.self) == Array(one.inputs.elements(as: Float.self)[96..<144]))
    let later = try pipeline.batch(indices, epoch: 3, pool: pool)
    #expect(later.inputs.elements(as: Float.self) != one.inputs.elements(as: Float.self))
    #expect(!pipeline.isDeterministic && pipeline.withoutAugmentation.isDeterministic)
  }

  @Test(arguments: [Mixing.mixup(alpha: 0.4), .mixup(alpha: 2), .cutMix(alpha: 1)])
  func mixedLabelsAreTheSharesOfTheInputs(mixing: Mixing) throws {
    // Class c has pictures of the constant c + 1.
    struct Flat: LabeledImages {
      let classNames = ["a", "b", "c"]
      let count = 12
      func label(of index: Int) -> Int { index % 3 }
      func name(of index: Int) -> String { "f\(index)" }
      func content(of index: Int) throws -> [UInt8] { [] }
      func image(at index: Int) throws -> Image {
        try Image(
          width: 16, height: 16, pixels: [UInt8](repeating: UInt8(index % 3) + 1, count: 768))
      }
    }
    var pipeline = ImagePipeline(Flat(), Self.recipe)
    pipeline.mixing = mixing
    let batch = try pipeline.batch(Array(0..<12), epoch: 0, pool: pool)
    let shares = try #require(batch.distributions).elements(as: Float.self)
    let inputs = batch.inputs.elements(as: Float.self)
    for sample in 0..<12 {
      let row = shares[3 * sample..<3 * sample + 3]
      #expect(abs(row.reduce(0, +) - 1) < 1e-5)
      let expected = zip(row, [1, 2, 3] as [Float]).reduce(0) { $0 + $1.0 * $1.1 }
      let mean = inputs[768 * sample..<768 * (sample + 1)].reduce(0, +) / 768
      #expect(abs(mean - expected) < 1e-3)
    }
  }

  @Test func sizesThatDifferAreRefused() throws {
    struct Growing: LabeledImages {
      let classNames = ["a"]
      let count = 2
      func label(of index: Int) -> Int { 0 }
      func name(of index: Int) -> String { "g\(index)" }
      func content(of index: Int) throws -> [UInt8] { [] }
      func image(at index: Int) throws -> Image { try noise(width: 4 + index, height: 4) }
    }
    #expect(
      failure { _ = try ImagePipeline(Growing(), Self.recipe).batch([0, 1], epoch: 0, pool: pool) }
        == "shape: g1: expected inputs of one size in a batch, found [1, 3, 4, 4] and [1, 3, 4, 5]: the preprocessing fixes none"
    )
  }

  // MARK: - Ahead

  @Test func thingsAreMadeAheadInOrder() throws {
    let prefetcher = try Prefetcher(count: 50, depth: 3) { $0 * $0 }
    for index in 0..<50 { #expect(try prefetcher.next() == index * index) }
    #expect(try prefetcher.next() == nil)
    // One that is dropped stops; one that fails says so once.
    for _ in 0..<20 { _ = try Prefetcher(count: 1000, depth: 2) { $0 }.next() }
    let failing = try Prefetcher(count: 5, depth: 2) { index -> Int in
      if index == 2 { throw LaminaError(.io, "gone") }
      return index
    }
    #expect(try failing.next() == 0 && failing.next() == 1)
    #expect(failure { _ = try failing.next() } == "io: gone")
    #expect(try failing.next() == nil)
  }
}
