import LaminaCore

extension Model {
  /// Loss and accuracy of the model as it stands, in inference, over all items in their order.
  ///
  /// - Parameters:
  ///   - losses: nil: `SoftmaxCrossEntropy` by the first output. Auxiliary terms are left out.
  ///   - onBatch: is given the outputs of each batch, in the order of the terms, with its labels.
  /// - Throws: `argument` when there are no items or labels do not fit; what the data throw.
  public func evaluate(
    _ data: any TrainingData, losses: [LossTerm]? = nil, batchSize: Int = 32,
    pool: ThreadPool? = nil, limits: Limits = Limits(),
    onBatch: (
      (_ indices: Range<Int>, _ outputs: [TensorView], _ labels: [Labels]) throws -> Void
    )? =
      nil
  ) throws -> TrainingScore {
    let terms = try losses ?? lossTerms(SoftmaxCrossEntropy())
    var options = SessionOptions()
    options.limits = limits
    options.outputs = terms.filter { !$0.isAuxiliary }.map(\.output)
    let objective = try Objective(
      terms, outputs: options.outputs ?? [], withoutAuxiliary: true)
    let session = try Session(model: self, options: options, pool: pool)
    var result = TrainingScore()
    let size = max(batchSize, 1)
    for start in stride(from: 0, to: data.count, by: size) {
      let range = start..<min(start + size, data.count)
      let batch = try data.batch(Array(range), epoch: 0)
      if range.upperBound < data.count {
        data.prefetch(
          Array(range.upperBound..<min(range.upperBound + size, data.count)), epoch: 0)
      }
      guard batch.count > 0 else { continue }
      guard case .inputs(let inputs) = batch.content else {
        throw LaminaError(.argument, "expected inputs to evaluate, found features")
      }
      try session.withOutputs(of: inputs.map(\.view)) { outputs in
        result.add(try objective.measure(outputs, batch.labels))
        try onBatch?(range, outputs, batch.labels)
      }
    }
    guard result.count > 0 else {
      throw LaminaError(.argument, "expected items to evaluate, found none")
    }
    return result
  }
}
