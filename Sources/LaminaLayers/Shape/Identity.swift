import LaminaCore

/// y = x.
package struct Identity: Layer {
  package static let kind: LayerKind = "lamina.identity"
  package static var outputMemory: OutputMemory { .aliasesInput }
  package static var gradient: Gradient { .supported(inputs: false, outputs: false) }

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  package func forward(_ call: ForwardCall) throws { call.copyFirstInput() }

  package func backward(_ call: BackwardCall) throws { call.addFirstGradient() }
}
