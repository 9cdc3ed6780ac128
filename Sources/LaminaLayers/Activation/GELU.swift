import LaminaCore
import LaminaKernels

/// y = ½·x·(1 + erf(x/√2)), or with `approximate = "tanh"`
/// y = ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) (Hendrycks and Gimpel 2016).
package struct GELU: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.gelu"
  enum Approximation: String, CaseIterable { case none, tanh }
  let approximate: Approximation

  package init(attributes: inout AttributeReader) throws {
    approximate = try attributes.choice("approximate", default: Approximation.none)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.choice("approximate", approximate)
  }

  var function: ElementwiseFunction {
    ElementwiseFunction(code: approximate == .tanh ? LK_GELU_TANH : LK_GELU)
  }
}
