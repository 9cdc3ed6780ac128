import LaminaCore

/// y = e^(x − max x) / Σe^(x − max x) along `axis`.
package struct Softmax: SoftmaxLayer {
  package static let kind: LayerKind = "lamina.softmax"
  package static var isLogarithm: Bool { false }
  package let axis: Int
  package let flatten: Bool

  package init(attributes: inout AttributeReader) throws {
    axis = try attributes.int("axis", default: -1)
    flatten = try attributes.bool("flatten", default: false)
  }
}
