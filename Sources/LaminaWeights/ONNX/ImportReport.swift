import LaminaCore

/// What an importer read, changed and left out.
public struct ImportReport: Sendable {
  /// Version of the file format.
  public var irVersion = 0
  /// Version of the operators.
  public var opset = 0
  /// The program that wrote the file, with its version.
  public var producer = ""
  /// Name of the graph.
  public var graphName = ""
  /// Nodes in the file.
  public var fileNodeCount = 0
  /// Nodes in the file that no output depends on, or that were put together into one.
  public var droppedNodeCount = 0
  /// Nodes of the graph that was built.
  public var nodeCount = 0
  /// How often each operator occurs, by name.
  public var operatorCounts: [(name: String, count: Int)] = []
  /// Tensors of the model.
  public var parameterTensorCount = 0
  /// Elements of these tensors.
  public var parameterCount = 0
  /// How often each element type was replaced by `float32`.
  public var convertedTypes: [(type: ElementType, count: Int)] = []
  /// Whether convolutions have biases and nothing is normalised: the exporter folded batch normalisation.
  public var isBatchNormalizationFolded = false
  /// What a reader should know.
  public var warnings: [String] = []

  /// Several lines, fit for a terminal.
  public var text: String {
    var lines = [
      "graph \(graphName.escapedForDisplay()), IR version \(irVersion), opset \(opset)"
        + (producer.isEmpty ? "" : ", written by \(producer.escapedForDisplay())"),
      "\(fileNodeCount) nodes became \(nodeCount), \(droppedNodeCount) were dropped",
      "\(parameterCount) parameters in \(parameterTensorCount) tensors",
      "operators: " + operatorCounts.map { "\($0.name) \($0.count)" }.joined(separator: ", "),
    ]
    for (type, count) in convertedTypes {
      lines.append("\(count) values and tensors of \(type.rawValue) became float32")
    }
    if isBatchNormalizationFolded {
      lines.append("batch normalisation was folded into the convolutions by the exporter")
    }
    lines += warnings.map { "warning: \($0.escapedForDisplay(limit: 1024))" }
    return lines.joined(separator: "\n")
  }

  /// The same as JSON.
  public var json: JSON {
    .object([
      "ir_version": .int(Int64(irVersion)),
      "opset": .int(Int64(opset)),
      "producer": .string(producer),
      "graph": .string(graphName),
      "file_nodes": .int(Int64(fileNodeCount)),
      "dropped_nodes": .int(Int64(droppedNodeCount)),
      "nodes": .int(Int64(nodeCount)),
      "operators": .object(operatorCounts.map { JSON.Member($0.name, .int(Int64($0.count))) }),
      "parameter_tensors": .int(Int64(parameterTensorCount)),
      "parameters": .int(Int64(parameterCount)),
      "converted_to_float32": .object(
        convertedTypes.map { JSON.Member($0.type.rawValue, .int(Int64($0.count))) }),
      "batch_norm_folded": .bool(isBatchNormalizationFolded),
      "warnings": .array(warnings.map(JSON.string)),
    ])
  }
}
