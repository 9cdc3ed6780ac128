import LaminaCore

/// Pictures to train and to check with.
public struct ImageSets: Sendable {
  /// Those to train with.
  public var training: any LabeledImages
  /// Those to check with; nil: there are none.
  public var validation: (any LabeledImages)?
  /// Pictures that cannot be decoded, and were left out or replaced.
  public var broken: [BrokenPicture] = []

  /// Told how many pictures of a stage are decoded, from any thread.
  public typealias OnProgress = @Sendable (_ stage: String, _ done: Int, _ total: Int) -> Void

  /// What lies at `path`: MNIST's four files, CIFAR's binary batches, folders `train` and `val` of class folders, or
  /// class folders, of which `percent` per cent are held out.
  ///
  /// - Parameters:
  ///   - classNames: a model's labels, which the folders must have.
  ///   - policy: what happens to files of folders that cannot be decoded.
  ///   - seed: of the pictures that are held out.
  ///   - decoding: how the files of folders are decoded.
  /// - Throws: what the readers of these throw, and `CheckedImages` and `StratifiedSplit`.
  public init(
    path: String, classNames: [String]? = nil, holdingOut percent: Int = 20,
    broken policy: BrokenPicturePolicy = .error, seed: UInt64 = 0, limits: Limits = Limits(),
    decoding: ImageDecodingOptions = ImageDecodingOptions(), pool: ThreadPool,
    onProgress: OnProgress? = nil
  ) throws {
    func file(_ names: String...) -> String? {
      names.map { "\(path)/\($0)" }.first(where: Folder.holds)
    }
    if let images = file("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"),
      let labels = file("train-labels-idx1-ubyte.gz", "train-labels-idx1-ubyte")
    {
      training = try IDXImages(
        images: images, labels: labels, classNames: classNames, limits: limits)
      if let images = file("t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte"),
        let labels = file("t10k-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte")
      {
        validation = try IDXImages(
          images: images, labels: labels, classNames: classNames, limits: limits)
      }
      return
    }
    let batches = (1...5).map { "\(path)/data_batch_\($0).bin" }.filter(Folder.holds)
    if !batches.isEmpty {
      training = try CIFARBinary(paths: batches, limits: limits)
      if let test = file("test_batch.bin") {
        validation = try CIFARBinary(paths: [test], limits: limits)
      }
      return
    }
    func check(_ images: any LabeledImages, _ stage: String) throws -> CheckedImages {
      let total = images.count
      onProgress?(stage, 0, total)
      return try CheckedImages(images, policy, pool: pool) { onProgress?(stage, $0, total) }
    }
    guard let train = file("train") else {
      let all = try check(
        ImageFolder(path: path, classNames: classNames, limits: limits, decoding: decoding), path)
      broken = all.broken
      let images = all.images
      let split = try StratifiedSplit(
        images, holdingOut: Double(percent) / 100, seed: seed, pool: pool)
      training = ImageSubset(images, split.training)
      validation = split.validation.isEmpty ? nil : ImageSubset(images, split.validation)
      return
    }
    let first = try ImageFolder(
      path: train, classNames: classNames, limits: limits, decoding: decoding)
    let checked = try check(first, "the pictures to train with")
    training = checked.images
    broken = checked.broken
    if let val = file("val", "validation", "test") {
      let checked = try check(
        ImageFolder(
          path: val, classNames: first.classNames, limits: limits, decoding: decoding),
        "the pictures to check with")
      validation = checked.images
      broken += checked.broken
    }
  }
}
