import Lamina

/// A source that tells when a tensor was read.
struct WatchedSource: TensorSource {
  private let source: any TensorSource
  private let onRead: @Sendable () -> Void

  init(_ source: any TensorSource, onRead: @escaping @Sendable () -> Void) {
    self.source = source
    self.onRead = onRead
  }

  var keys: [String] { source.keys }
  var provenance: String { source.provenance }

  func spec(_ key: String) throws -> TensorSpec { try source.spec(key) }

  func read(_ key: String, into target: UnsafeMutableRawBufferPointer) throws {
    try source.read(key, into: target)
    onRead()
  }
}
