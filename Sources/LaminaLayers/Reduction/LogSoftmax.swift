import LaminaCore

/// y = x − max x − ln Σe^(x − max x) along `axis`.
package struct LogSoftmax: SoftmaxLayer {
  package static let kind: LayerKind = "lamina.log_softmax"
  package static var isLogarithm: Bool { true }
  package let axis: Int
  package let flatten: Bool

  package init(attributes: inout AttributeReader) throws {
    axis = try attributes.int("axis", default: -1)
    flatten = try attributes.bool("flatten", default: false)
  }
}
