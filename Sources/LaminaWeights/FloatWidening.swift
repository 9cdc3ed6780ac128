import LaminaCore

/// Exact and rounding conversions between the floating-point types, on bit patterns.
enum ElementConversion {
  /// binary16 → binary32. Exact: subnormals become normal, NaN keeps its payload.
  static func float(half bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1F
    let fraction = UInt32(bits & 0x3FF)
    switch exponent {
    case 0:
      let magnitude = Float(fraction) * 0x1p-24
      return Float(bitPattern: magnitude.bitPattern | sign)
    case 0x1F: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
    default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
  }

  /// bfloat16 → binary32. Exact: the upper half of the bits.
  static func float(bfloat bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }
}

extension Tensor {
  /// The same numbers as `float32`: exact from `float16` and `bfloat16`, rounded to nearest from
  /// `float64`.
  ///
  /// - Throws: `weights` when the elements are integers or Booleans, or a finite number exceeds
  ///   `float32`.
  package func convertedToFloat32() throws -> Tensor {
    func converting<T: TensorElement>(_: T.Type, _ convert: (T) -> Float) throws -> Tensor {
      let result = try Tensor(uninitialized: shape)
      withElements(of: T.self) { source in
        result.withMutableElements(of: Float.self) { target in
          for index in source.indices { target[index] = convert(source[index]) }
        }
      }
      return result
    }
    func convertingBits(_ convert: (UInt16) -> Float) throws -> Tensor {
      let result = try Tensor(uninitialized: shape)
      withBytes { source in
        result.withMutableElements(of: Float.self) { target in
          for index in target.indices {
            target[index] = convert(source.load(fromByteOffset: 2 * index, as: UInt16.self))
          }
        }
      }
      return result
    }
    switch type {
    case .float32: return self
    case .float16: return try convertingBits(ElementConversion.float(half:))
    case .bfloat16: return try convertingBits(ElementConversion.float(bfloat:))
    case .float64:
      let overflow = withElements(of: Double.self) { elements in
        elements.first { $0.isFinite && !Float($0).isFinite }
      }
      if let overflow {
        throw LaminaError(.weights, "expected numbers within float32, found \(overflow)")
      }
      return try converting(Double.self) { Float($0) }
    default:
      throw LaminaError(.weights, "expected floating-point numbers, found \(type.rawValue)")
    }
  }
}
