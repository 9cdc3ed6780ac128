/// Bounds on what a file or a call may ask for. Everything is compared with them before memory is taken.
public struct Limits: Sendable, Hashable {
  /// Largest weight or model file, in bytes.
  public var weightFileBytes = 4 << 30
  /// Largest picture file, in bytes.
  public var imageFileBytes = 64 << 20
  /// Largest JSON text, in bytes.
  public var jsonBytes = 16 << 20
  /// Deepest nesting of JSON.
  public var jsonDepth = 64
  /// Most tensors in a file.
  public var tensorsPerFile = 100_000
  /// Most nodes in a graph.
  public var nodes = 100_000
  /// Most pixels in a picture.
  public var imagePixels = 64_000_000
  /// Longest side of a picture, in pixels.
  public var imageSide = 16_384
  /// Most scans in a progressive JPEG.
  public var jpegScans = 100
  /// Most bytes of tensors that one model or session may hold.
  public var memoryBytes = 64 << 30

  /// The defaults.
  public init() {}

  /// - Throws: `limit` when `bytes` of `what` exceed `memoryBytes`.
  public func checkMemory(_ bytes: Int, for what: @autoclosure () -> String) throws {
    guard bytes <= memoryBytes else {
      throw LaminaError(
        .limit, "expected at most \(memoryBytes) bytes of memory, \(what()) needs \(bytes)")
    }
  }
}
