import LaminaCore

/// y = e^(x − max x) / Σe^(x − max x) along `axis`.
package struct Softmax: SoftmaxLayer {
  package static let kind: LayerKind = "lamina.softmax"
  static var isLogarithm: Bool { false }
  let axis: Int
  let flatten: Bool

  package init(attributes: inout AttributeReader) throws {
    axis = try attributes.int("axis", default: -1)
    flatten = try attributes.bool("flatten", default: false)
  }
}
