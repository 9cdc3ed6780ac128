import LaminaCore
import LaminaImages
import Synchronization

/// Batches of pictures, the next one decoded while the model works on the one before.
public final class ImageTrainingData: TrainingData {
  /// How pictures become inputs.
  public let pipeline: ImagePipeline
  private let pool: ThreadPool
  private let ahead = Mutex<(key: Key, batch: Prefetcher<ImageBatch>)?>(nil)
  private let hash = Mutex<String?>(nil)

  private struct Key: Hashable {
    var indices: [Int]
    var epoch: Int
  }

  /// - Parameter pool: the threads that decode.
  public init(_ pipeline: ImagePipeline, pool: ThreadPool) {
    self.pipeline = pipeline
    self.pool = pool
  }

  /// Number of pictures.
  public var count: Int { pipeline.images.count }

  /// SHA-256 over labels, pictures and everything that changes a picture on its way. The name of a picture counts where
  /// its bytes cannot be read.
  public var fingerprint: String {
    hash.withLock { known in
      if let known { return known }
      var sum = SHA256()
      sum.update(pipeline.images.sha256(pool: pool).utf8)
      let changes =
        "\(pipeline.preprocessing.json.text()) \(pipeline.augmentations) \(pipeline.cutoutSide)"
        + " \(pipeline.lighting) \(String(describing: pipeline.mixing))"
        + " \(pipeline.isDeterministic ? 0 : pipeline.seed)"
      sum.update(changes.utf8)
      let result = sum.hexadecimal()
      known = result
      return result
    }
  }

  /// Whether nothing is changed at random.
  public var isSameInEveryEpoch: Bool { pipeline.isDeterministic }

  /// Pictures as one batch.
  public func batch(_ indices: [Int], epoch: Int) throws -> Batch {
    let key = Key(indices: indices, epoch: epoch)
    let waiting = ahead.withLock { ahead -> Prefetcher<ImageBatch>? in
      defer { ahead = nil }
      return ahead?.key == key ? ahead?.batch : nil
    }
    let ready = try waiting?.next() ?? pipeline.batch(indices, epoch: epoch, pool: pool)
    return Batch(
      [ready.inputs],
      labels: [ready.distributions.map { .values($0) } ?? .classes(ready.labels)])
  }

  /// Begins to decode a batch.
  public func prefetch(_ indices: [Int], epoch: Int) {
    let (pipeline, pool) = (pipeline, pool)
    let batch =
      indices.isEmpty
      ? nil
      : try? Prefetcher(count: 1, depth: 1) { _ in
        try pipeline.batch(indices, epoch: epoch, pool: pool)
      }
    ahead.withLock { $0 = batch.map { (Key(indices: indices, epoch: epoch), $0) } }
  }
}
