import LaminaCore

/// What one output of a model adds to the loss: weight·loss.
public struct LossTerm: Sendable {
  /// Name of the output.
  public var output: String
  /// The loss by that output.
  public var loss: any Loss
  /// Its weight.
  public var weight: Double
  /// Whether it is left out when a model is evaluated, as the heads that only help to train.
  public var isAuxiliary: Bool

  /// A term.
  public init(
    _ output: String, _ loss: any Loss, weight: Double = 1, isAuxiliary: Bool = false
  ) {
    self.output = output
    self.loss = loss
    self.weight = weight
    self.isAuxiliary = isAuxiliary
  }
}

extension Model {
  /// The same loss by every output: the first counts 1, each auxiliary head what the model's metadata say under
  /// `loss_weight.NAME`.
  ///
  /// - Throws: `argument` when a weight is missing or no number, or the outputs are probabilities.
  public func lossTerms(_ loss: any Loss) throws -> [LossTerm] {
    if metadata.outputKind == .probabilities {
      throw LaminaError(
        .argument, "expected a model whose outputs are logits, found probabilities")
    }
    return try graph.outputs.enumerated().map { index, output in
      guard index > 0 else { return LossTerm(output.name, loss) }
      let key = "loss_weight.\(output.name)"
      guard let text = metadata.provenance[key], let weight = Double(text), weight.isFinite else {
        throw LaminaError(
          .argument,
          "expected metadata '\(key.escapedForDisplay())' to be a number, found \(metadata.provenance[key].map { "'\($0.escapedForDisplay())'" } ?? "none")"
        )
      }
      return LossTerm(output.name, loss, weight: weight, isAuxiliary: true)
    }
  }
}
