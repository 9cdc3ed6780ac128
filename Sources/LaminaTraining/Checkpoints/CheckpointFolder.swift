#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif
import LaminaCore

/// A folder of checkpoints of one training: `checkpoint-000000000123.safetensors` by step, `LATEST` with the name of the
/// newest, and `LOCK`, held while this object lives. At least two are kept.
public final class CheckpointFolder {
  /// The folder.
  public let path: String
  /// How many are kept.
  public let keptCount: Int
  private let lock: Int32

  /// Opens or makes the folder, and removes what interrupted writes left.
  ///
  /// - Throws: `busy` when another process trains into it, `io`.
  public init(path: String, keptCount: Int = 2) throws {
    try makeFolder(path)
    let lockPath = "\(path)/LOCK"
    let descriptor = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw systemError(lockPath) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let isBusy = errno == EWOULDBLOCK
      let error = systemError(lockPath)
      close(descriptor)
      throw isBusy
        ? LaminaError(
          .busy, "another training writes checkpoints here",
          path: path.escapedForDisplay(limit: 512)) : error
    }
    lock = descriptor
    self.path = path
    self.keptCount = max(keptCount, 2)
    for name in try namesInFolder(path) where name.hasSuffix(".tmp") {
      if name.hasPrefix("checkpoint-") || name.hasPrefix("LATEST.") { unlink("\(path)/\(name)") }
    }
  }

  deinit {
    // A process forked from this one may still hold the file, which closing alone would leave locked.
    flock(lock, LOCK_UN)
    close(lock)
  }

  /// The checkpoints by name, newest first.
  public func names() throws -> [String] {
    try namesInFolder(path)
      .filter { $0.hasPrefix("checkpoint-") && $0.hasSuffix(".safetensors") }.sorted(by: >)
  }

  /// Writes a checkpoint, points `LATEST` to it, and only then removes old ones.
  ///
  /// - Throws: `io` and what `Checkpoint.write` throws; those before are as they were then.
  public func save(_ checkpoint: Checkpoint, step: Int) throws {
    let digits = String(max(step, 0))
    let name =
      "checkpoint-\(String(repeating: "0", count: max(12 - digits.count, 0)))\(digits).safetensors"
    try checkpoint.write(to: "\(path)/\(name)")
    let writer = try AtomicFileWriter(path: "\(path)/LATEST")
    try writer.write(Array("\(name)\n".utf8))
    try writer.commit()
    // Newer ones are of a past that did not read back.
    let older = try names().filter { $0 < name }
    for old in try names() where old != name && !older.prefix(keptCount - 1).contains(old) {
      unlink("\(path)/\(old)")
    }
  }

  /// The newest checkpoint that reads back.
  ///
  /// - Returns: nil when there is none; a message for each that was passed over.
  /// - Throws: the error of the newest when there are some and none reads back.
  public func latest(limits: Limits = Limits()) throws -> (
    checkpoint: Checkpoint, name: String, messages: [String]
  )? {
    var candidates = try names()
    var messages: [String] = []
    if !candidates.isEmpty {
      let pointer = try? FileReader(path: "\(path)/LATEST", maximumBytes: 4096).allBytes()
      let latest = pointer.map { String(decoding: $0, as: UTF8.self) }?.split(separator: "\n").first
      if let index = candidates.firstIndex(where: { $0 == latest ?? "" }) {
        candidates.insert(candidates.remove(at: index), at: 0)
      } else {
        messages.append("\(path.escapedForDisplay(limit: 512))/LATEST names no checkpoint")
      }
    }
    var first: (any Error)?
    for name in candidates {
      do {
        let checkpoint = try Checkpoint(path: "\(path)/\(name)", limits: limits)
        if !messages.isEmpty { messages.append("going on from \(name)") }
        return (checkpoint, name, messages)
      } catch {
        first = first ?? error
        messages.append("\(error)")
      }
    }
    if let first { throw first }
    return nil
  }
}
