import Lamina
import LaminaTestSupport
import Testing

struct TensorTests {
  @Test func holdsElements() throws {
    let tensor = try Tensor([2, 2], [1, 2, 3, 4] as [Float])
    #expect(tensor.elements() == [1, 2, 3, 4] as [Float])
    #expect(tensor.spec == TensorSpec([2, 2]) && tensor.byteCount == 16)
    #expect(tensor.spec.description == "float32 [2, 2]")
    #expect(try Tensor(zeros: [3], .int64).elements() == [0, 0, 0] as [Int64])
    expectError(.shape, "expected 4 elements for shape [2, 2], found 3") {
      try Tensor([2, 2], [1, 2, 3] as [Int32])
    }
  }

  @Test func isAligned() throws {
    for count in [0, 1, 100] {
      let tensor = try Tensor(uninitialized: Shape([count]))
      #expect(UInt(bitPattern: tensor.view.baseAddress) % 64 == 0)
    }
  }

  @Test func reshapesWithoutCopying() throws {
    let tensor = try Tensor([2, 3], [1, 2, 3, 4, 5, 6] as [Int32])
    let other = try tensor.reshaped([3, 2])
    #expect(other.view.baseAddress == tensor.view.baseAddress && other.shape == [3, 2])
    expectError(.shape, "expected 6 elements, found shape [4]") { try tensor.reshaped([4]) }
  }

  @Test func copies() throws {
    let tensor = try Tensor([2], [true, false])
    let copy = try Tensor(copying: tensor.view)
    copy.withMutableElements(of: Bool.self) { $0[1] = true }
    #expect(tensor.elements() == [true, false] && copy.elements() == [true, true])
  }

  @Test func refusesWhatMemoryCannotHold() {
    expectError(.limit, "no memory for -1 bytes") { try AlignedBuffer(byteCount: -1) }
    expectError(.limit, "no memory for \(Int.max) bytes") { try AlignedBuffer(byteCount: .max) }
    expectError(.limit, "no memory for \(1 << 62) bytes") { try AlignedBuffer(byteCount: 1 << 62) }
  }

  @Test func elementTypesKnowTheirSize() {
    #expect(ElementType.allCases.map(\.byteCount) == [4, 2, 2, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1])
    #expect(
      ElementType.allCases.filter(\.isFloatingPoint) == [.float32, .float16, .bfloat16, .float64])
    #expect(ElementType.allCases.filter(\.isInteger).count == 8)
  }

  @Test func randomNumbersDependOnSeedNameAndPosition() {
    let a = CounterRandom(seed: 1, name: "w")
    #expect(a.bits(5) == CounterRandom(seed: 1, name: "w").bits(5))
    #expect(a.bits(5) != a.bits(6))
    #expect(a.bits(5) != CounterRandom(seed: 2, name: "w").bits(5))
    #expect(a.bits(5) != CounterRandom(seed: 1, name: "v").bits(5))
    let count = 20_000
    let uniform = (0..<UInt64(count)).map { Double(a.uniform($0)) }
    #expect(uniform.allSatisfy { $0 >= 0 && $0 < 1 })
    #expect(abs(uniform.reduce(0, +) / Double(count) - 0.5) < 0.01)
    let normal = (0..<UInt64(count)).map { Double(a.normal($0)) }
    let mean = normal.reduce(0, +) / Double(count)
    #expect(abs(mean) < 0.03)
    #expect(abs(normal.reduce(0) { $0 + $1 * $1 } / Double(count) - 1) < 0.05)
  }
}
