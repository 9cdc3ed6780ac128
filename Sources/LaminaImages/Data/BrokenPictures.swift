import LaminaCore

/// What happens to pictures that cannot be decoded.
public enum BrokenPicturePolicy: String, Sendable, CaseIterable {
  /// All of them are listed in an error.
  case error
  /// They are left out.
  case skip
  /// Another picture of the same class takes their place.
  case replace
}

/// A picture that cannot be used.
public struct BrokenPicture: Sendable, Hashable {
  /// Position in the set.
  public var index: Int
  /// Where it comes from.
  public var name: String
  /// Why it cannot be decoded.
  public var reason: String
}

/// Pictures that were all decoded once.
public struct CheckedImages: Sendable {
  /// The pictures to use.
  public let images: any LabeledImages
  /// Those that were left out or replaced.
  public let broken: [BrokenPicture]

  /// Decodes every picture.
  ///
  /// - Parameter onProgress: called from any thread with the number of pictures that are done.
  /// - Throws: `image` listing the broken pictures under `.error`; `image` when a class has none that can be used, or
  ///   nothing can.
  public init(
    _ images: any LabeledImages, _ policy: BrokenPicturePolicy, pool: ThreadPool,
    onProgress: (@Sendable (Int) -> Void)? = nil
  ) throws {
    let done = Counter()
    let reasons = try parallelMap(images.count, pool) { index -> String? in
      defer { onProgress?(done.next()) }
      do {
        _ = try images.image(at: index)
        return nil
      } catch let error as LaminaError {
        return error.message
      }
    }
    broken = reasons.enumerated().compactMap { index, reason in
      reason.map { BrokenPicture(index: index, name: images.name(of: index), reason: $0) }
    }
    guard !broken.isEmpty else {
      self.images = images
      return
    }
    if policy == .error {
      let problems = broken.prefix(64).map {
        LaminaError(.image, $0.reason, path: $0.name.escapedForDisplay(limit: 512))
      }
      throw LaminaError.combining(Array(problems)) ?? LaminaError(.internal, "no picture is broken")
    }
    var good = [[Int]](repeating: [], count: images.classNames.count)
    for index in 0..<images.count where reasons[index] == nil {
      good[images.label(of: index)].append(index)
    }
    let lost = good.indices.filter { good[$0].isEmpty }.map { label in
      LaminaError(
        .image,
        "every picture of class '\(images.classNames[label].escapedForDisplay())' is broken")
    }
    if let error = LaminaError.combining(lost) { throw error }
    let indices = (0..<images.count).compactMap { index -> Int? in
      guard reasons[index] != nil else { return index }
      guard policy == .replace else { return nil }
      let others = good[images.label(of: index)]
      return others[index % others.count]
    }
    self.images = ImageSubset(images, indices)
  }
}
