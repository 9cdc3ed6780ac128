import Foundation
import Lamina
import LaminaTestSupport
import Testing

struct LossTests {
  private static let logits: [Float] = [
    0.3, -1.2, 2.5, 0.7, -0.4, 0.1, 3.1, -2.2, 0.9, 1.4, -0.6, 0.2,
  ]

  private func expectGradient(
    _ loss: any Loss, _ labels: Labels, _ shape: Shape = [3, 4],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let count = shape.count
    let output = try Tensor(shape, Array(Self.logits.prefix(count)))
    let gradient = try Tensor(zeros: shape)
    func value(_ gradient: Tensor? = nil, weight: Double = 1) throws -> Double {
      try loss.evaluate(
        output.view, labels, gradient: gradient.map { mutableView($0) }, weight: weight)
    }
    let plain = try value(gradient, weight: 3)
    #expect(try value() == plain, sourceLocation: sourceLocation)
    let found = gradient.elements(as: Float.self)
    for index in 0..<count {
      func moved(_ offset: Float) throws -> Double {
        let old = Self.logits[index]
        output.withMutableElements(of: Float.self) { $0[index] = old + offset }
        defer { output.withMutableElements(of: Float.self) { $0[index] = old } }
        return try value()
      }
      let step: Float = 0x1p-10
      let width = Double((Self.logits[index] + step) - (Self.logits[index] - step))
      let expected = try 3 * (moved(step) - moved(-step)) / width
      #expect(
        abs(Double(found[index]) - expected) < 1e-5, "\(index): \(found[index]), \(expected)",
        sourceLocation: sourceLocation)
    }
  }

  private func mutableView(_ tensor: Tensor) -> MutableTensorView {
    MutableTensorView(
      tensor.shape, tensor.type, UnsafeMutableRawPointer(mutating: tensor.view.baseAddress))
  }

  private static let classes = Labels.classes([2, 0, 3])
  private static func values(_ elements: [Float], _ shape: Shape = [3, 4]) throws -> Labels {
    .values(try Tensor(shape, elements))
  }
  private static let distributions: [Float] = [0.1, 0.2, 0.3, 0.4, 1, 0, 0, 0, 0.5, 0.5, 0, 0]
  private static let bits: [Float] = [1, 0, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]

  @Test func gradientsAreThoseOfFiniteDifferences() throws {
    let weights = [0.5, 2, 1, 3]
    for loss in [
      SoftmaxCrossEntropy(), SoftmaxCrossEntropy(labelSmoothing: 0.1),
      SoftmaxCrossEntropy(classWeights: weights),
      SoftmaxCrossEntropy(labelSmoothing: 0.2, classWeights: weights),
    ] {
      try expectGradient(loss, Self.classes)
      try expectGradient(loss, Self.values(Self.distributions))
    }
    for loss in [
      BinaryCrossEntropy(), BinaryCrossEntropy(positiveWeight: 2.5, labelSmoothing: 0.1),
    ] {
      try expectGradient(loss, Self.values(Self.bits))
      try expectGradient(loss, .classes([1, 0, 1]), [3, 1])
    }
    for gamma in [0, 0.5, 2] {
      try expectGradient(FocalLoss(gamma: gamma), Self.classes)
      try expectGradient(BinaryFocalLoss(gamma: gamma), Self.values(Self.bits))
    }
    try expectGradient(MeanSquaredError(), Self.values(Self.distributions))
  }

  private func value(_ loss: any Loss, _ elements: [Float], _ labels: Labels) throws -> Double {
    let output = try Tensor(Shape([labels.count, elements.count / labels.count]), elements)
    return try loss.evaluate(output.view, labels, gradient: nil, weight: 1)
  }

  /// Numbers worked out from the definitions.
  @Test func valuesAreThoseOfTheDefinitions() throws {
    func near(_ found: Double, _ expected: Double) -> Bool { abs(found - expected) < 1e-6 }
    let row: [Float] = [log(1), log(2), log(5)]
    #expect(try near(value(SoftmaxCrossEntropy(), row, .classes([2])), log(8.0 / 5)))
    let smooth = 0.7 * log(8.0 / 5) + 0.1 * (log(8) + log(4) + log(8.0 / 5))
    #expect(
      try near(value(SoftmaxCrossEntropy(labelSmoothing: 0.3), row, .classes([2])), smooth))
    let weighted = SoftmaxCrossEntropy(classWeights: [1, 2, 3])
    #expect(
      try near(
        value(weighted, row + row, .classes([2, 1])),
        (3 * log(8.0 / 5) + 2 * log(4.0)) / 5))
    #expect(
      try near(
        value(weighted, row + row, Self.values([0, 0, 1, 0, 1, 0], [2, 3])),
        (3 * log(8.0 / 5) + 2 * log(4.0)) / 2))
    #expect(
      try near(value(BinaryCrossEntropy(), [log(3)], .classes([1])), log(4.0 / 3)))
    #expect(
      try near(value(FocalLoss(), row, .classes([2])), 0.25 * pow(3.0 / 8, 2) * log(8.0 / 5)))
    #expect(
      try near(
        value(BinaryFocalLoss(), [log(3)], .classes([0])), 0.75 * pow(0.75, 2) * log(4.0)))
    #expect(try near(value(MeanSquaredError(), [1, 4], Self.values([3, 3], [1, 2])), 2.5))
  }

  @Test func extremeLogitsStayFinite() throws {
    let row: [Float] = [-1e30, 1e30, 3e38]
    let gradient = try Tensor(zeros: [1, 3])
    for loss: any Loss in [SoftmaxCrossEntropy(), FocalLoss(), FocalLoss(gamma: 0.5)] {
      let output = try Tensor([1, 3], row)
      for label in 0..<3 {
        let value = try loss.evaluate(
          output.view, .classes([label]), gradient: mutableView(gradient), weight: 1)
        #expect(value.isFinite)
        #expect(gradient.elements(as: Float.self).allSatisfy { $0.isFinite })
      }
    }
    for loss: any Loss in [BinaryCrossEntropy(), BinaryFocalLoss(), BinaryFocalLoss(gamma: 0.5)] {
      let output = try Tensor([1, 3], row)
      let value = try loss.evaluate(
        output.view, Self.values([1, 0, 1], [1, 3]), gradient: mutableView(gradient), weight: 1)
      #expect(value.isFinite)
      #expect(gradient.elements(as: Float.self).allSatisfy { $0.isFinite })
    }
    #expect(try value(SoftmaxCrossEntropy(), [.nan, 1, 2], .classes([1])).isNaN)
    #expect(try value(SoftmaxCrossEntropy(), [1, 2, .nan], .classes([1])).isNaN)
  }

  @Test func labelsThatDoNotFitAreRefused() throws {
    let row: [Float] = [1, 2, 3]
    expectError(.argument, "expected a class from 0 to 2, found 3", path: "label 1") {
      try value(SoftmaxCrossEntropy(), row + row, .classes([0, 3]))
    }
    let output = try Tensor([2, 3], row + row)
    expectError(.shape, "expected 2 labels, found 1") {
      try SoftmaxCrossEntropy().evaluate(output.view, .classes([0]), gradient: nil, weight: 1)
    }
    expectError(.shape, "expected labels float32 [2, 3], found float32 [1, 3]") {
      try MeanSquaredError().evaluate(
        output.view, Self.values(row, [1, 3]), gradient: nil, weight: 1)
    }
    expectError(.argument, "expected 3 class weights, found 2") {
      try value(SoftmaxCrossEntropy(classWeights: [1, 2]), row, .classes([0]))
    }
    let picture = try Tensor(zeros: [1, 3, 2, 2])
    expectError(
      .shape, "expected logits float32 [batch, classes], found float32 [1, 3, 2, 2]"
    ) {
      try FocalLoss().evaluate(picture.view, .classes([0]), gradient: nil, weight: 1)
    }
  }

  @Test func auxiliaryHeadsCountAsTheirMetadataSay() throws {
    let terms = try network(auxiliary: true).lossTerms(SoftmaxCrossEntropy())
    #expect(terms.map(\.output) == ["output", "aux1"])
    #expect(terms.map(\.weight) == [1, 0.3])
    #expect(terms.map(\.isAuxiliary) == [false, true])
    let model = try network(auxiliary: true).replacingMetadata(ModelMetadata())
    expectError(
      .argument, "expected metadata 'loss_weight.aux1' to be a number, found none"
    ) { try model.lossTerms(SoftmaxCrossEntropy()) }
    var metadata = ModelMetadata()
    metadata.outputKind = .probabilities
    expectError(.argument, "expected a model whose outputs are logits, found probabilities") {
      try network().replacingMetadata(metadata).lossTerms(SoftmaxCrossEntropy())
    }
  }
}
