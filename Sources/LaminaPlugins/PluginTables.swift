import CLamina
import LaminaCore

/// What the errors of a plugin's tables and calls have in common.
extension LaminaError {
  /// A rule of `lamina_plugin.h` that a plugin breaks.
  static func broken(_ message: String) -> LaminaError { LaminaError(.format, message) }
}

/// The table at `pointer` as far as its `struct_size` reaches; slots behind that are 0.
///
/// - Parameter minimum: bytes up to the last slot that every version has.
/// - Throws: `format` when `struct_size` is no size.
func readTable<T: BitwiseCopyable>(
  _ pointer: UnsafePointer<T>, _ empty: T, minimum: Int, _ name: String
) throws -> T {
  let start = UnsafeRawPointer(pointer)
  let size = Int(start.load(as: UInt32.self))
  guard size >= minimum, size <= 4096 else {
    throw LaminaError.broken("expected struct_size of \(name) in \(minimum)...4096, found \(size)")
  }
  var result = empty
  withUnsafeMutableBytes(of: &result) { bytes in
    bytes.copyMemory(
      from: UnsafeRawBufferPointer(start: start, count: min(size, MemoryLayout<T>.size)))
  }
  return result
}

/// A text of a table.
///
/// - Throws: `format` when it is NULL, empty, not UTF-8 or too long.
func tableText(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> String {
  guard pointer != nil else { throw LaminaError.broken("expected a text as \(name), found NULL") }
  guard let text = pluginText(pointer), !text.isEmpty, text.utf8.count <= 255 else {
    throw LaminaError.broken("expected 1 to 255 bytes of UTF-8 as \(name)")
  }
  return text
}

/// A text of a table that is a name under a domain.
///
/// - Throws: `format` for another text.
func tableName(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> String {
  let text = try tableText(pointer, name)
  let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
  let isName =
    parts.count > 1
    && parts.allSatisfy { part in
      !part.isEmpty
        && part.allSatisfy { byte in
          switch byte {
          case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
          default: false
          }
        }
    }
  guard isName else {
    throw LaminaError.broken(
      "expected \(name) to be a name such as 'com.example.mish', found '\(text.escapedForDisplay())'"
    )
  }
  return text
}

/// Calls a function of a plugin.
///
/// - Throws: what the plugin says; `format` when its status is none of `lamina_types.h`.
func callPlugin(
  _ function: String, of owner: String,
  _ body: (UnsafeMutablePointer<lamina_error>) -> lamina_status
) throws {
  var error = lamina_error()
  error.struct_size = UInt32(MemoryLayout<lamina_error>.size)
  let status = body(&error)
  guard status != LAMINA_OK else { return }
  guard let code = LaminaError.Code(rawValue: status) else {
    throw LaminaError.broken(
      "\(function) of plugin '\(owner)' returned status \(status), which there is not")
  }
  throw LaminaError(code, error.text ?? "\(function) of plugin '\(owner)' gave no reason")
}

extension lamina_error {
  /// The message; nil when there is none.
  var text: String? {
    withUnsafeBytes(of: self) { bytes in
      let message = bytes.dropFirst(8).prefix { $0 != 0 }
      return message.isEmpty ? nil : String(decoding: message, as: UTF8.self)
    }
  }
}

extension lamina_plugin_tensor {
  /// A tensor of the host.
  init(_ shape: Shape, _ type: ElementType, _ data: UnsafeRawPointer?) {
    self.init()
    self.data = UnsafeMutableRawPointer(mutating: data)
    self.type = type.code
    rank = Int32(shape.rank)
    withUnsafeMutableBytes(of: &self.shape) { bytes in
      for axis in 0..<shape.rank {
        bytes.storeBytes(of: Int64(shape[axis]), toByteOffset: axis * 8, as: Int64.self)
      }
    }
  }

  /// A tensor whose shape is not known either where there is no view.
  init(_ view: TensorView?, like other: MutableTensorView? = nil) {
    if let view {
      self.init(view.shape, view.type, view.baseAddress)
    } else if let other {
      self.init(other.shape, other.type, nil)
    } else {
      self.init()
    }
  }

  /// The same for a tensor to write.
  init(_ view: MutableTensorView?, like other: TensorView? = nil) {
    if let view {
      self.init(view.shape, view.type, view.baseAddress)
    } else if let other {
      self.init(other.shape, other.type, nil)
    } else {
      self.init()
    }
  }
}

/// Shape and type that a plugin wrote.
///
/// - Throws: `format` for a type, rank or extent that there is not.
func pluginSpec(
  type: Int32, rank: Int32, shape: UnsafeRawBufferPointer, _ name: @autoclosure () -> String
) throws -> TensorSpec {
  guard let type = ElementType(code: type) else {
    throw LaminaError.broken("\(name()) has element type \(type), which there is not")
  }
  guard rank >= 0, rank <= Shape.maximumRank else {
    throw LaminaError.broken(
      "expected \(name()) to have at most \(Shape.maximumRank) axes, found \(rank)")
  }
  let extents = (0..<Int(rank)).map {
    Int(clamping: shape.load(fromByteOffset: $0 * 8, as: Int64.self))
  }
  do {
    return TensorSpec(try Shape(extents), type)
  } catch let error as LaminaError {
    throw LaminaError.broken("\(name()): \(error.message)")
  }
}
