import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Large weights are read from the file to where they are needed: nothing else may differ from a model in
/// memory.
@Suite struct ONNXContentTests {
  private static let width = 160

  /// Large raw weights, small ones, one that is no `float32`, and one twice.
  private static func model(_ change: (inout Proto) -> Void = { _ in }) -> [UInt8] {
    func weight(_ count: Int, _ seed: UInt64) -> [Float] {
      let random = CounterRandom(seed: seed, name: "weight")
      return (0..<count).map { random.normal(UInt64($0)) / Float(width) }
    }
    let doubles = weight(width * width, 3).flatMap { Double($0).bitPattern.littleEndianBytes }
    let large = weight(width * width, 1)
    return ONNX.model(
      [
        ONNX.node("MatMul", ["x", "a"], ["xa"]), ONNX.node("Add", ["xa", "b"], ["xab"]),
        ONNX.node("MatMul", ["xab", "c"], ["y"]),
      ], input: [2, width],
      initializers: [
        ONNX.tensor(
          "a", [width, width], raw: large.flatMap { $0.bitPattern.littleEndianBytes }, extra: change
        ),
        ONNX.floats("b", [width], weight(width, 2)),
        ONNX.tensor("c", [width, width], type: 11, raw: doubles),
      ])
  }

  /// The result of one run or the error's text, which names no file.
  private static func outcome(_ load: () throws -> Model) -> String {
    do {
      let session = try Session(model: try load())
      let x = try Tensor([2, width], (0..<2 * width).map { Float($0 % 7) - 3 })
      return "\(try session.run([x])[0].elements(as: Float.self).map(\.bitPattern))"
    } catch let error as LaminaError {
      return "\(error.code): \(error.message)"
    } catch {
      return "another error: \(error)"
    }
  }

  private static func expectEqual(_ bytes: [UInt8], _ path: String, _ label: String) throws
    -> String
  {
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    let fromFile = outcome { try ONNXImporter.load(path: path, registry: .standard).model }
    let fromMemory = outcome { try ONNX.load(bytes).model }
    #expect(fromFile == fromMemory, "\(label)")
    return fromFile
  }

  @Test func filesAreWhatBytesAre() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.onnx"
      #expect(try Self.expectEqual(Self.model(), path, "whole").hasPrefix("["))
      let again = [UInt8](repeating: 0, count: 4 * Self.width * Self.width)
      #expect(
        try Self.expectEqual(Self.model { $0.data(9, again) }, path, "the last raw_data counts")
          .hasPrefix("["))
      let broken = try Self.expectEqual(Self.model { $0.data(9, [1]) }, path, "too few bytes")
      #expect(broken.contains("expected 102400 bytes of raw_data"), "\(broken)")
    }
  }

  @Test func brokenFilesAreWhatBrokenBytesAre() throws {
    let whole = Self.model()
    let random = CounterRandom(seed: 11, name: "bytes")
    try withTemporaryFolder { folder in
      for index in 0..<120 {
        var bytes = whole
        let word = random.bits(UInt64(index))
        switch index % 3 {
        case 0: bytes.removeLast(Int(word % UInt64(bytes.count)))
        // Where messages begin.
        case 1: bytes[Int(word % 200)] ^= UInt8(1 << (word >> 60 & 7))
        default:
          let start = Int(word % UInt64(bytes.count))
          bytes.removeSubrange(start..<min(start + 3, bytes.count))
        }
        _ = try Self.expectEqual(bytes, "\(folder)/\(index).onnx", "case \(index)")
      }
    }
  }
}
