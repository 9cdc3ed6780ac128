import LaminaCore
import LaminaKernels

/// y = f(x) for every element. `float32` for all functions but the logical ones; `abs`, `neg` and `sign` take
/// integers too, `bitwise_not` integers only, `not` `bool`; `is_nan` and `is_inf` give `bool`.
package struct Unary: Layer {
  package static let kind: LayerKind = "lamina.unary"
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  package static var gradient: Gradient { .supported(inputs: true, outputs: false) }
  enum Function: String, CaseIterable {
    case exp, log, sqrt, reciprocal, abs, neg, floor, ceil, round, sign, erf
    case sin, cos, tan, asin, acos, atan, sinh, cosh, asinh, acosh, atanh
    case not
    case isNaN = "is_nan"
    case isInfinite = "is_inf"
    case bitwiseNot = "bitwise_not"
  }
  let function: Function

  package init(attributes: inout AttributeReader) throws {
    function = try attributes.choice("function")
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.choice("function", function)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let input = inputs[0]
    switch function {
    case .not: return [try input.expecting(.bool)]
    case .isNaN, .isInfinite: return [TensorSpec(try input.expecting(.float32).shape, .bool)]
    case .abs, .neg, .sign: return [try input.expectingNumbers()]
    case .bitwiseNot:
      guard input.type.isInteger else {
        throw LaminaError(.shape, "expected integer elements, found \(input.type.rawValue)")
      }
      return [TensorSpec(input.shape, input.type)]
    default: return [try input.expecting(.float32)]
    }
  }

  package func forward(_ call: ForwardCall) throws {
    let (x, y) = (call.inputs[0], call.outputs[0])
    switch function {
    case .not: map(x, y) { (v: Bool) in !v }
    case .isNaN: map(x, y) { (v: Float) in v.isNaN }
    case .isInfinite: map(x, y) { (v: Float) in v.isInfinite }
    default:
      if let integer = x.type.integerType {
        run(integer, x, y)
      } else if let code {
        lk_f32_unary(call.pool.handle, code, 0, 0, x.floats, y.floats, x.shape.count)
      }
    }
  }

  package func backward(_ call: BackwardCall) throws {
    if let code { ElementwiseFunction(code: code).addGradient(call) }
  }

  private func run<T: IntegerElement>(_: T.Type, _ x: TensorView, _ y: MutableTensorView) {
    switch function {
    case .abs: map(x, y) { (v: T) in v < 0 ? 0 &- v : v }
    case .neg: map(x, y) { (v: T) in 0 &- v }
    case .sign: map(x, y) { (v: T) in v.signum() }
    default: map(x, y) { (v: T) in ~v }
    }
  }

  private var code: lk_unary? {
    switch function {
    case .exp: LK_EXP
    case .log: LK_LOG
    case .sqrt: LK_SQRT
    case .reciprocal: LK_RECIPROCAL
    case .abs: LK_ABS
    case .neg: LK_NEG
    case .floor: LK_FLOOR
    case .ceil: LK_CEIL
    case .round: LK_ROUND
    case .sign: LK_SIGN
    case .erf: LK_ERF
    case .sin: LK_SIN
    case .cos: LK_COS
    case .tan: LK_TAN
    case .asin: LK_ASIN
    case .acos: LK_ACOS
    case .atan: LK_ATAN
    case .sinh: LK_SINH
    case .cosh: LK_COSH
    case .asinh: LK_ASINH
    case .acosh: LK_ACOSH
    case .atanh: LK_ATANH
    case .not, .isNaN, .isInfinite, .bitwiseNot: nil
    }
  }
}
