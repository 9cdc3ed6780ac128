import LaminaCore

/// y = x − max x − ln Σe^(x − max x) along `axis`.
package struct LogSoftmax: SoftmaxLayer {
  package static let kind: LayerKind = "lamina.log_softmax"
  static var isLogarithm: Bool { true }
  let axis: Int
  let flatten: Bool

  package init(attributes: inout AttributeReader) throws {
    axis = try attributes.int("axis", default: -1)
    flatten = try attributes.bool("flatten", default: false)
  }
}
