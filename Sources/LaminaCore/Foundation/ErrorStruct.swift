/// Runs the body of a function that C calls: what it throws becomes the status, which is otherwise `LAMINA_OK`, and
/// the caller's `lamina_error`.
package func perform(_ error: UnsafeMutableRawPointer?, _ body: () throws -> Void) -> Int32 {
  do {
    try body()
    return 0
  } catch let failure {
    let failure = failure as? LaminaError ?? LaminaError(.internal, "\(failure)")
    failure.write(to: error)
    return failure.code.rawValue
  }
}

extension LaminaError {
  /// Bytes of `lamina_error` of `lamina_types.h`: its size, the code, then text.
  private static let structSize = 512

  /// Writes as much of the failure as a caller's `lamina_error` holds, cut between characters.
  package func write(to error: UnsafeMutableRawPointer?) {
    guard let start = error else { return }
    let size = min(Int(start.load(as: UInt32.self)), LaminaError.structSize)
    guard size >= 8 else { return }
    start.storeBytes(of: code.rawValue, toByteOffset: 4, as: Int32.self)
    let capacity = size - 8
    guard capacity > 0 else { return }
    let text = Array(description.utf8)
    var length = min(text.count, capacity - 1)
    while length > 0, length < text.count, text[length] & 0xC0 == 0x80 { length -= 1 }
    text.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { (start + 8).copyMemory(from: base, byteCount: length) }
    }
    (start + 8 + length).storeBytes(of: 0, as: UInt8.self)
  }
}
