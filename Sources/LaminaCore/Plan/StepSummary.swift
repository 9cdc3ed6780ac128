/// One step of a plan, for reports.
package struct StepSummary: Sendable {
  /// Name of the node, or what is converted.
  package var name: String
  /// What runs: `gemm avx512 14×32`, `NCHW → NCHWc16`; empty when the layer does not say.
  package var kernel: String
  /// First output.
  package var output: TensorSpec
  /// Multiply-adds, those of a convolution counted as direct evaluation has them.
  package var multiplyAdds: Int
}

extension Plan {
  /// The steps in the order in which they run.
  package var stepSummaries: [StepSummary] {
    steps.map { step in
      let kernel =
        switch step.operation {
        case .layer: ""
        case .prepared(let prepared): prepared.summary
        case .convert(let from, let to): "\(from) → \(to)"
        case .collect: "copy"
        }
      let output = step.outputs.first.map { TensorSpec($0.shape, $0.type) }
      return StepSummary(
        name: step.name, kernel: kernel, output: output ?? TensorSpec(.scalar),
        multiplyAdds: step.multiplyAdds)
    }
  }
}
