import LaminaCore

/// What a model in training has learned by some time: weights, statistics, averages.
public struct TrainingSnapshot: Sendable {
  /// By name in the model; averages of weights under `average/NAME`.
  public let tensors: [String: Tensor]

  /// What is in given tensors.
  public init(tensors: [String: Tensor]) { self.tensors = tensors }
}

extension Trainer {
  /// The tensors that hold what is learned, by the names of a snapshot. Their memory changes with every step.
  var learnedTensors: [(name: String, tensor: Tensor)] {
    var result = (session.weights + session.buffers).map { (name: $0.key, tensor: $0.value) }
    for (weight, tensor) in zip(session.weights, average?.tensors ?? []) {
      result.append(("average/\(weight.key)", tensor))
    }
    return result
  }

  /// The tensors of the optimizer, by `optimizer/STATE/NAME`.
  var optimizerTensors: [(name: String, tensor: Tensor)] {
    zip(session.weights, optimizer.tensors).flatMap { weight, tensors in
      zip(optimizer.optimizer.stateNames, tensors).map {
        (name: "optimizer/\($0)/\(weight.key)", tensor: $1)
      }
    }
  }

  /// A copy of what is learned.
  public func makeSnapshot() throws -> TrainingSnapshot {
    TrainingSnapshot(tensors: try copies(of: learnedTensors))
  }

  /// Puts back what was learned at the time of a snapshot.
  ///
  /// - Throws: `weights` when a tensor is missing or of another shape; nothing is changed then.
  public func restore(_ snapshot: TrainingSnapshot) throws {
    try overwrite(learnedTensors, with: snapshot.tensors)
  }

  func copies(of tensors: [(name: String, tensor: Tensor)]) throws -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (name, tensor) in tensors { result[name] = try Tensor(copying: tensor.view) }
    return result
  }

  func overwrite(_ targets: [(name: String, tensor: Tensor)], with sources: [String: Tensor]) throws
  {
    for (name, target) in targets where sources[name]?.spec != target.spec {
      throw LaminaError(
        .weights,
        "expected '\(name.escapedForDisplay())' to be \(target.spec), found \(sources[name].map { "\($0.spec)" } ?? "none")"
      )
    }
    for (name, target) in targets {
      try sources[name].map { try target.overwrite(with: $0, name: name) }
    }
  }
}

extension Model {
  /// The CRC32C over the bytes of the parameters whose keys a condition accepts, in the order of the keys: equal before
  /// and behind a training for those that were frozen.
  public func checksum(where isWanted: (_ key: String) -> Bool) -> String {
    var checksum = CRC32C()
    for (key, tensor) in parameters.sorted(by: { $0.key < $1.key }) where isWanted(key) {
      tensor.withBytes { checksum.update($0) }
    }
    let digits = String(checksum.value, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }

  /// SHA-256 over the keys, shapes and bytes of all parameters, in the order of the keys.
  public func sha256() -> String {
    var sum = SHA256()
    for (key, tensor) in parameters.sorted(by: { $0.key < $1.key }) {
      sum.update("\(key) \(tensor.spec)\n".utf8)
      tensor.withBytes { sum.update($0) }
    }
    return sum.hexadecimal()
  }
}
