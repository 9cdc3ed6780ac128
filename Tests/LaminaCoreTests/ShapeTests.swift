import Lamina
import LaminaTestSupport
import Testing

struct ShapeTests {
  @Test func counts() throws {
    let shape: Shape = [2, 3, 4]
    #expect(shape.count == 24 && shape.rank == 3 && shape[1] == 3)
    #expect(shape.count(before: 2) == 6 && shape.count(before: 0) == 1)
    #expect(shape.count(from: 1) == 12 && shape.count(from: 3) == 1)
    #expect(shape.strides == [12, 4, 1])
    #expect(shape.description == "[2, 3, 4]")
    #expect(Shape.scalar.count == 1 && Shape.scalar.rank == 0 && Shape.scalar.strides == [])
    #expect(try Shape([3, 0, 2]).count == 0)
    #expect(try Shape([3, 0, 2]).strides == [2, 2, 1])
  }

  @Test func refusesImpossibleExtents() throws {
    expectError(.shape, "expected extents in 0...2147483647, found -1 in [2, -1]") {
      try Shape([2, -1])
    }
    expectError(.shape, "expected extents in 0...2147483647, found 2147483648 in [2147483648]") {
      try Shape([1 << 31])
    }
    expectError(.shape, "expected extents in 0...2147483647, found \(Int.max) in [\(Int.max)]") {
      try Shape([.max])
    }
    expectError(.shape, "expected at most 8 axes, found 9") {
      try Shape([Int](repeating: 1, count: 9))
    }
    expectError(.shape, "expected at most 2^40 elements, found [1048576, 1048577]") {
      try Shape([1 << 20, 1 << 20 + 1])
    }
    // An axis without elements does not make the others free.
    let most = 2_147_483_647
    expectError(.shape, "expected at most 2^40 elements, found [0, \(most), \(most), \(most)]") {
      try Shape([0, most, most, most])
    }
    #expect(try Shape([1 << 20, 1 << 20]).count == 1 << 40)
  }

  @Test func resolvesAxes() throws {
    let shape: Shape = [2, 3]
    #expect(try shape.axis(-1) == 1 && shape.axis(0) == 0)
    #expect(try shape.axis(2, inclusive: true) == 2)
    expectError(.shape, "expected an axis in -2...1, found 2") { try shape.axis(2) }
    expectError(.shape, "expected an axis in -2...1, found -3") { try shape.axis(-3) }
    expectError(.shape, "expected an axis in -2...1, found \(Int.min)") { try shape.axis(.min) }
    expectError(.shape, "expected an axis in -2...2, found 3") {
      try shape.axis(3, inclusive: true)
    }
  }

  @Test func broadcasts() throws {
    #expect(try Shape([2, 1, 3]).broadcast(with: [4, 1]) == [2, 4, 3])
    #expect(try Shape.scalar.broadcast(with: [2, 0]) == [2, 0])
    #expect(try Shape([1]).broadcast(with: [0]) == [0])
    expectError(.shape, "expected shapes that broadcast, found [2] and [3]") {
      try Shape([2]).broadcast(with: [3])
    }
    expectError(.shape, "expected shapes that broadcast, found [2] and [0]") {
      try Shape([2]).broadcast(with: [0])
    }
    expectError(.shape, "expected at most 2^40 elements, found [2097152, 2097152]") {
      try Shape([1 << 21, 1]).broadcast(with: [1 << 21])
    }
  }

  @Test func odometerWalksInRowMajorOrder() {
    var odometer = IndexOdometer([2, 2])
    var seen: [[Int]] = []
    for _ in 0..<5 {
      seen.append(odometer.index)
      odometer.advance()
    }
    #expect(seen == [[0, 0], [0, 1], [1, 0], [1, 1], [0, 0]])
  }
}
