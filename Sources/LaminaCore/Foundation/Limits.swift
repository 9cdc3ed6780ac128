#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

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
  /// Most bytes of tensors that one model or session may hold: by default four fifths of the machine's
  /// memory, or of the control group's where that is less.
  public var memoryBytes = Limits.availableMemory / 5 * 4

  /// The defaults.
  public init() {}

  private static let availableMemory: Int = {
    let pages = sysconf(Int32(_SC_PHYS_PAGES))
    let pageSize = sysconf(Int32(_SC_PAGESIZE))
    let physical = pages > 0 && pageSize > 0 ? pages.saturatingProduct(pageSize) : 4 << 30
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
    return groups.compactMap(number(inFile:)).filter { $0 > 0 }.reduce(physical, min)
  }()

  /// The decimal number at the start of a small file; nil when there is none.
  private static func number(inFile path: String) -> Int? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 32)
    let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    guard count > 0 else { return nil }
    let digits = bytes.prefix(count).prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
    return Int(String(decoding: digits, as: UTF8.self))
  }

  /// - Throws: `limit` when `bytes` of `what` exceed `memoryBytes`.
  public func checkMemory(_ bytes: Int, for what: @autoclosure () -> String) throws {
    guard bytes <= memoryBytes else {
      throw LaminaError(
        .limit, "expected at most \(memoryBytes) bytes of memory, \(what()) needs \(bytes)")
    }
  }
}
