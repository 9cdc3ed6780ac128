import LaminaCore

/// The formats in which models leave Lamina, told apart by the name of the file.
public enum ExportFormat: String, Sendable, CaseIterable {
  /// Graph and weights for other runtimes.
  case onnx
  /// A Lamina model, whose weights any safetensors reader opens.
  case safetensors
  /// The weights alone, for NumPy.
  case npz

  /// The format of a file of this name.
  ///
  /// - Throws: `argument` for any other name.
  public init(path: String) throws {
    let name = path.lowercased()
    guard let format = Self.allCases.first(where: { name.hasSuffix(".\($0.rawValue)") }) else {
      throw LaminaError(
        .argument,
        "expected a file named *.onnx, *.safetensors or *.npz, found '\(path.escapedForDisplay())'")
    }
    self = format
  }

  /// Writes the model; the file appears whole or not at all.
  ///
  /// - Throws: what the format's writer throws.
  public func write(_ model: Model, to path: String) throws {
    switch self {
    case .onnx: try ONNXExporter.write(model, to: path)
    case .safetensors: try ModelFile.save(model, to: path)
    case .npz: try NumPyArrays.write(model.parameters, to: path)
    }
  }
}
