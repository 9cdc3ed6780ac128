import LaminaCore

/// A change of a whole batch, in which samples are mixed by pairs and their labels with them.
public enum Mixing: Sendable, Hashable {
  /// `λ·a + (1 − λ)·b` with λ of Beta(α, α) (Zhang et al. 2017, mixup, arXiv:1710.09412).
  case mixup(alpha: Double)
  /// A rectangle of b in a, with a share of 1 − λ of the area, λ of Beta(α, α) (Yun et al. 2019, CutMix,
  /// arXiv:1905.04899).
  case cutMix(alpha: Double)
}

/// Inputs of a model with what is known of them.
public struct ImageBatch: Sendable {
  /// `float32 [count, channels, height, width]`.
  public var inputs: Tensor
  /// A class for each sample.
  public var labels: [Int]
  /// Shares of the classes for each sample, `float32 [count, classes]`, where samples were mixed.
  public var distributions: Tensor?

  /// A batch.
  public init(inputs: Tensor, labels: [Int], distributions: Tensor? = nil) {
    self.inputs = inputs
    self.labels = labels
    self.distributions = distributions
  }
}

/// Makes batches of pictures: decodes, changes at random, preprocesses. What a sample becomes depends on the seed, the
/// epoch and its position in the set alone, not on threads or on the order of batches.
public struct ImagePipeline: Sendable {
  /// The pictures.
  public var images: any LabeledImages
  /// How a picture becomes the model's input, behind the augmentations.
  public var preprocessing: Preprocessing
  /// Changes of the picture, in this order.
  public var augmentations: [Augmentation] = []
  /// Side of a square of the input, anywhere and cut at the border, that becomes 0 (DeVries and Taylor 2017, Cutout,
  /// arXiv:1708.04552); 0 for none.
  public var cutoutSide = 0
  /// Deviation of the colour shifts along the principal components of ImageNet's colours; AlexNet has 0.1
  /// (Krizhevsky et al. 2012, section 4.1).
  public var lighting = 0.0
  /// Mixing within a batch.
  public var mixing: Mixing?
  /// Of all random numbers.
  public var seed: UInt64 = 0

  /// A pipeline that changes nothing at random.
  public init(_ images: any LabeledImages, _ preprocessing: Preprocessing) {
    self.images = images
    self.preprocessing = preprocessing
  }

  /// Whether a sample is the same in every epoch.
  public var isDeterministic: Bool {
    augmentations.isEmpty && cutoutSide == 0 && lighting == 0 && mixing == nil
  }

  /// The same with what usually helps: large pictures are cropped to a part of any size, flipped and shifted in colour,
  /// small ones moved by a tenth and, where they have colours, flipped. Nothing where the size of inputs is open.
  public var withUsualAugmentations: ImagePipeline {
    guard let size = preprocessing.outputSize else { return self }
    var result = self
    if size.height >= 96 {
      result.augmentations = [
        .randomResizedCrop(size, scale: 0.35...1), .horizontalFlip(),
        .colorJitter(brightness: 0.2, contrast: 0.2, saturation: 0.2),
      ]
      result.preprocessing.resize = .none
      result.preprocessing.centerCrop = nil
    } else {
      result.augmentations = [.translation(x: 0.1, y: 0.1)]
      if preprocessing.channelOrder != .gray { result.augmentations.append(.horizontalFlip()) }
    }
    return result
  }

  /// The same without anything random, to check with.
  public var withoutAugmentation: ImagePipeline { ImagePipeline(images, preprocessing) }

  /// Eigenvectors of ImageNet's colours times the roots of their eigenvalues, by channel R, G, B.
  private static let components: [[Double]] = [
    [-0.5675 * 0.2175, 0.7192 * 0.0188, 0.4009 * 0.0045],
    [-0.5808 * 0.2175, -0.0045 * 0.0188, -0.8140 * 0.0045],
    [-0.5836 * 0.2175, -0.6948 * 0.0188, 0.4203 * 0.0045],
  ]

  /// The samples at some positions of the set, prepared on all threads of `pool`.
  ///
  /// - Throws: the first sample's error with its name; `shape` when pictures come out in different sizes.
  public func batch(_ indices: [Int], epoch: Int, pool: ThreadPool) throws -> ImageBatch {
    for augmentation in augmentations { try augmentation.validate() }
    let samples = try parallelMap(indices.count, pool) { position in
      try sample(indices[position], epoch: epoch)
    }
    guard let first = samples.first else {
      throw LaminaError(.argument, "expected at least one sample in a batch")
    }
    let inputs = try Tensor(
      uninitialized: Shape([samples.count] + first.shape.dimensions.dropFirst()))
    for (position, sample) in samples.enumerated() {
      guard sample.shape == first.shape else {
        throw LaminaError(
          .shape,
          "expected inputs of one size in a batch, found \(first.shape) and \(sample.shape): the preprocessing fixes none",
          path: images.name(of: indices[position]).escapedForDisplay(limit: 512))
      }
      inputs.withMutableElements(of: Float.self) { target in
        sample.withElements(of: Float.self) { source in
          guard let start = target.baseAddress, let from = source.baseAddress else { return }
          (start + position * source.count).update(from: from, count: source.count)
        }
      }
    }
    let batch = ImageBatch(inputs: inputs, labels: indices.map { images.label(of: $0) })
    guard let mixing else { return batch }
    return try mixed(
      batch, mixing, SampleRandom(seed: seed, epoch: epoch, index: -1 - (indices[0])))
  }

  /// One sample, `float32 [1, channels, height, width]`.
  public func sample(_ index: Int, epoch: Int) throws -> Tensor {
    try withErrorPath(images.name(of: index).escapedForDisplay(limit: 512)) {
      var random = SampleRandom(seed: seed, epoch: epoch, index: index)
      var image = try images.image(at: index)
      for augmentation in augmentations { image = try augmentation.apply(to: image, &random) }
      let input = try preprocessing.apply(to: image)
      if lighting > 0 { light(input, &random) }
      if cutoutSide > 0 { cutOut(input, &random) }
      return input
    }
  }

  private func light(_ input: Tensor, _ random: inout SampleRandom) {
    let weights = (0..<3).map { _ in random.normal() * lighting }
    let shifts = Self.components.map { row in zip(row, weights).reduce(0) { $0 + $1.0 * $1.1 } }
    let plane = input.shape.count(from: 2)
    input.withMutableElements(of: Float.self) { elements in
      for channel in 0..<input.shape[1] {
        let shift =
          switch preprocessing.channelOrder {
          case .rgb: shifts[channel]
          case .bgr: shifts[2 - channel]
          case .gray: 0.299 * shifts[0] + 0.587 * shifts[1] + 0.114 * shifts[2]
          }
        let std = preprocessing.std.count == 1 ? preprocessing.std[0] : preprocessing.std[channel]
        let offset = Float(255 * shift * Double(preprocessing.scale)) / std
        for place in channel * plane..<(channel + 1) * plane { elements[place] += offset }
      }
    }
  }

  private func cutOut(_ input: Tensor, _ random: inout SampleRandom) {
    let (height, width) = (input.shape[2], input.shape[3])
    let (y, x) = (random.index(below: height), random.index(below: width))
    let top = y - cutoutSide / 2
    let left = x - cutoutSide / 2
    let rows = max(top, 0)..<max(min(top + cutoutSide, height), 0)
    let columns = max(left, 0)..<max(min(left + cutoutSide, width), 0)
    input.withMutableElements(of: Float.self) { elements in
      for channel in 0..<input.shape[1] {
        for row in rows {
          for column in columns { elements[(channel * height + row) * width + column] = 0 }
        }
      }
    }
  }

  private func mixed(_ batch: ImageBatch, _ mixing: Mixing, _ random: SampleRandom) throws
    -> ImageBatch
  {
    var random = random
    let count = batch.labels.count
    var partners = Array(0..<count)
    for last in stride(from: count - 1, to: 0, by: -1) {
      partners.swapAt(last, random.index(below: last + 1))
    }
    let shape = batch.inputs.shape
    let mixed = try Tensor(copying: batch.inputs.view)
    let size = shape.count(from: 1)
    let (height, width) = (shape[2], shape[3])
    var share: Double
    switch mixing {
    case .mixup(let alpha):
      share = random.beta(alpha)
      let (a, b) = (Float(share), Float(1 - share))
      mixed.withMutableElements(of: Float.self) { target in
        batch.inputs.withElements(of: Float.self) { source in
          for sample in 0..<count {
            for place in 0..<size {
              target[sample * size + place] =
                a * source[sample * size + place] + b * source[partners[sample] * size + place]
            }
          }
        }
      }
    case .cutMix(let alpha):
      let side = (1 - random.beta(alpha)).squareRoot()
      let (boxHeight, boxWidth) = (Int(side * Double(height)), Int(side * Double(width)))
      let (y, x) = (random.index(below: height), random.index(below: width))
      let rows = max(y - boxHeight / 2, 0)..<max(min(y - boxHeight / 2 + boxHeight, height), 0)
      let columns = max(x - boxWidth / 2, 0)..<max(min(x - boxWidth / 2 + boxWidth, width), 0)
      share = 1 - Double(rows.count * columns.count) / Double(height * width)
      mixed.withMutableElements(of: Float.self) { target in
        batch.inputs.withElements(of: Float.self) { source in
          for sample in 0..<count {
            for channel in 0..<shape[1] {
              for row in rows {
                for column in columns {
                  let place = (channel * height + row) * width + column
                  target[sample * size + place] = source[partners[sample] * size + place]
                }
              }
            }
          }
        }
      }
    }
    let distributions = try Tensor(zeros: Shape([count, images.classNames.count]))
    distributions.withMutableElements(of: Float.self) { target in
      for sample in 0..<count {
        let row = sample * images.classNames.count
        target[row + batch.labels[sample]] += Float(share)
        target[row + batch.labels[partners[sample]]] += Float(1 - share)
      }
    }
    return ImageBatch(inputs: mixed, labels: batch.labels, distributions: distributions)
  }
}

extension SampleRandom {
  /// The next number of Beta(α, α): a / (a + b) of two gammas.
  mutating func beta(_ alpha: Double) -> Double {
    guard alpha > 0 else { return 1 }
    let (a, b) = (gamma(alpha), gamma(alpha))
    return a + b > 0 ? a / (a + b) : 0.5
  }

  /// The next number of Gamma(α, 1) (Marsaglia and Tsang 2000).
  private mutating func gamma(_ alpha: Double) -> Double {
    if alpha < 1 {
      return gamma(alpha + 1) * exponential(logarithm(max(uniform(), 0x1p-53)) / alpha)
    }
    let d = alpha - 1.0 / 3
    let c = 1 / (9 * d).squareRoot()
    while true {
      let x = normal()
      let v = (1 + c * x) * (1 + c * x) * (1 + c * x)
      guard v > 0 else { continue }
      if logarithm(max(uniform(), 0x1p-53)) < 0.5 * x * x + d - d * v + d * logarithm(v) {
        return d * v
      }
    }
  }
}
