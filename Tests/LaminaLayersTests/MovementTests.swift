import Lamina
import LaminaLayers
import LaminaTestSupport
import Testing

struct MovementTests {
  private func expect<L: Layer>(
    _ type: L.Type, _ message: String, _ attributes: Attributes, _ inputs: [TestInput],
    code: LaminaError.Code = .shape, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    expectError(code, message, sourceLocation: sourceLocation) {
      try LayerHarness.infer(type, attributes, inputs)
    }
  }

  private static func ints(_ call: NaiveCall, _ name: String, _ input: Int) -> [Int]? {
    if case .ints(let list) = call.attributes[name] { return list }
    guard input < call.inputs.count, call.inputs[input].shape.count > 0 else { return nil }
    return call.inputs[input].elements.map { Int($0) }
  }

  @Test func transpose() {
    LayerHarness.check(
      Transpose.self,
      cases: [
        LayerCase([[2, 3]]), LayerCase([[2, 3, 4]]),
        LayerCase(["permutation": [0, 2, 3, 1]], [[2, 3, 5, 7]]),
        LayerCase(["permutation": [0, 3, 1, 2]], [[2, 37, 21, 3]]),
        LayerCase(["permutation": [1, 0]], [TestInput([40, 50], .uint8, in: 0...255)]),
        LayerCase(["permutation": [1, 0, 2]], [TestInput([3, 4, 5], .int64, in: -9...9)]),
        LayerCase(["permutation": [0, 1, 2]], [TestInput([3, 4, 5], .float16)]),
        LayerCase(["permutation": [2, 1, 0]], [TestInput([3, 0, 5])]),
        LayerCase([TestInput(.scalar)]),
        LayerCase(["permutation": [0, 2, 1, 3, 4]], [[2, 3, 4, 2, 3]]),
        LayerCase(["permutation": [7, 6, 5, 4, 3, 2, 1, 0]], [[2, 1, 3, 2, 1, 2, 2, 2]]),
        LayerCase(["permutation": [0, 2, 3, 1]], [[1, 64, 40, 41]]),
      ]
    ) { call in
      let x = call.inputs[0]
      var p = Array((0..<x.shape.rank).reversed())
      if case .ints(let list) = call.attributes["permutation"] { p = list }
      var y = NaiveTensor(try Shape(p.map { x.shape[$0] }))
      for index in x.shape.indices { y[p.map { index[$0] }] = x[index] }
      return [y]
    }
    expect(
      Transpose.self, "expected a permutation of the 3 axes of [2, 3, 4], found [0, 0, 1]",
      ["permutation": [0, 0, 1]], [[2, 3, 4]])
    expect(
      Transpose.self, "expected a permutation of the 3 axes of [2, 3, 4], found [0, 1]",
      ["permutation": [0, 1]], [[2, 3, 4]])
    expect(
      Transpose.self, "expected a permutation of the 2 axes of [2, 3], found [0, -1]",
      ["permutation": [0, -1]], [[2, 3]])
  }

  @Test func slice() {
    let reference: NaiveReference = { call in
      let x = call.inputs[0]
      let starts = Self.ints(call, "starts", 1) ?? []
      let ends = Self.ints(call, "ends", 2) ?? []
      let axes = Self.ints(call, "axes", 3) ?? Array(0..<starts.count)
      let steps = Self.ints(call, "steps", 4) ?? starts.map { _ in 1 }
      var picked = x.shape.dimensions.map { Array(0..<$0) }
      for (k, axis) in axes.enumerated() {
        let axis = axis < 0 ? axis + x.shape.rank : axis
        let extent = x.shape[axis]
        // Positions of the walk from `start` that lie before `end` and within the axis, one by one.
        let start = starts[k] < 0 ? starts[k] + extent : starts[k]
        let end = ends[k] < 0 ? max(ends[k] + extent, -1) : min(ends[k], extent)
        let step = max(min(steps[k], 1000), -1000)
        var position = step > 0 ? min(max(start, 0), extent) : min(max(start, -1), extent - 1)
        picked[axis] = []
        while step > 0 ? position < end : position > end {
          picked[axis].append(position)
          position += step
        }
      }
      var y = NaiveTensor(try Shape(picked.map(\.count)))
      for index in y.shape.indices { y[index] = x[index.enumerated().map { picked[$0][$1] }] }
      return [y]
    }
    LayerHarness.check(
      Slice.self,
      cases: [
        LayerCase(["starts": [1, 0], "ends": [2, 3]], [[3, 4]]),
        LayerCase(["starts": [1], "ends": [1000], "axes": [1]], [[3, 4]]),
        LayerCase(["starts": [-3], "ends": [-1], "axes": [-1]], [[3, 4]]),
        LayerCase(["starts": [0], "ends": [9], "axes": [1], "steps": [2]], [[3, 7]]),
        LayerCase(["starts": [-1], "ends": [.min], "axes": [1], "steps": [-1]], [[3, 7]]),
        LayerCase(["starts": [.max], "ends": [.min], "axes": [0], "steps": [.min]], [[3, 7]]),
        LayerCase(["starts": [.max], "ends": [0], "axes": [1], "steps": [-3]], [[3, 7]]),
        LayerCase(["starts": [.min], "ends": [.max], "axes": [1], "steps": [.max]], [[3, 7]]),
        LayerCase(["starts": [3], "ends": [1]], [[5]]),
        LayerCase(["starts": [0], "ends": [5], "steps": [-1]], [[5]]),
        LayerCase(["starts": [0, 0], "ends": [2, -1]], [TestInput([2, 3, 4], .bool)]),
        LayerCase(
          ["starts": [2, -1], "ends": [0, .min], "axes": [0, 2], "steps": [-1, -2]],
          [TestInput([4, 2, 9], .int16, in: -99...99)]),
        LayerCase([TestInput([6, 4], .float64), .known([1]), .known([5])]),
        LayerCase([[6, 4], .known([3, 5]), .known([-9, 1]), .known([1, 0]), .known([-1, -2])]),
        LayerCase([[6, 4], .known([1]), .known([5]), .known([]), .known([2])]),
        LayerCase(["starts": [0], "ends": [5], "steps": [-1]], [[0, 2]]),
        LayerCase(["starts": [10, 3], "ends": [200, 90], "axes": [2, 3]], [[1, 12, 220, 100]]),
      ], reference: reference)
    expect(
      Slice.self, "expected a step other than 0 on axis 1, found 0",
      ["starts": [0], "ends": [1], "axes": [-1], "steps": [0]], [[2, 3]])
    expect(
      Slice.self, "expected as many 'ends' as 'starts' (2), found 1",
      ["starts": [0, 1], "ends": [1]], [[2, 3]])
    expect(
      Slice.self, "expected as many 'axes' as 'starts' (1), found 2",
      ["starts": [0], "ends": [1], "axes": [0, 1]], [[2, 3]])
    expect(
      Slice.self, "expected distinct axes, found [1, -1]",
      ["starts": [0, 0], "ends": [1, 1], "axes": [1, -1]], [[2, 3]])
    expect(
      Slice.self, "expected an axis in -2...1, found 2",
      ["starts": [0], "ends": [1], "axes": [2]], [[2, 3]])
    expect(
      Slice.self, "expected an axis in -1...0, found 1", ["starts": [0, 0], "ends": [1, 1]], [[2]])
    expect(
      Slice.self, "expected 'ends' as an attribute or as an input, found neither", ["starts": [0]],
      [[2]], code: .graph)
  }

  @Test func concat() {
    let reference: NaiveReference = { call in
      let axis: Int
      if case .int(let value) = call.attributes["axis"] {
        axis = value < 0 ? value + call.inputs[0].shape.rank : value
      } else {
        throw LaminaError(.argument, "no axis")
      }
      var dimensions = call.inputs[0].shape.dimensions
      dimensions[axis] = call.inputs.reduce(0) { $0 + $1.shape[axis] }
      return [
        NaiveTensor(try Shape(dimensions)) { index in
          var rest = index
          for input in call.inputs {
            if rest[axis] < input.shape[axis] { return input[rest] }
            rest[axis] -= input.shape[axis]
          }
          return .nan
        }
      ]
    }
    LayerHarness.check(
      Concat.self,
      cases: [
        LayerCase(["axis": 0], [[2, 3], [1, 3]]),
        LayerCase(["axis": 1], [[2, 3], [2, 1], [2, 4]]),
        LayerCase(["axis": -1], [[2, 3], [2, 0], [2, 4]]), LayerCase(["axis": -2], [[2, 3]]),
        LayerCase(["axis": 1], [[2, 16, 3, 3], [2, 32, 3, 3], [2, 5, 3, 3]]),
        LayerCase(["axis": 1], [[2, 8, 3, 3], [2, 16, 3, 3]]),
        LayerCase(["axis": 1], [[1, 3, 3, 3], [1, 16, 3, 3]]),
        LayerCase(["axis": 2], [[1, 16, 3, 3], [1, 16, 2, 3]]),
        LayerCase(["axis": 1], [[1, 16, 70, 70], [1, 32, 70, 70]]),
        LayerCase(
          ["axis": 0], [TestInput([3], .int64, in: -5...5), TestInput([2], .int64, in: -5...5)]),
      ], reference: reference)
    expect(Concat.self, "expected an axis in -2...1, found 2", ["axis": 2], [[2, 3], [2, 3]])
    expect(Concat.self, "expected an axis in 0...-1, found 0", ["axis": 0], [TestInput(.scalar)])
    expect(
      Concat.self, "expected shapes that differ on axis 0 only, found [2, 3] and [2, 4]",
      ["axis": 0], [[2, 3], [2, 4]])
    expect(
      Concat.self, "expected shapes that differ on axis 0 only, found [2, 3] and [2]",
      ["axis": 0], [[2, 3], [2]])
    expect(
      Concat.self, "expected elements of one type, found float32 and int64", ["axis": 0],
      [[2], TestInput([2], .int64)])
    expect(
      Concat.self, "expected attribute 'axis' (an integer), found none", [:], [[2]], code: .graph)
  }

  @Test func split() throws {
    let reference: NaiveReference = { call in
      let x = call.inputs[0]
      var axis = 0
      if case .int(let value) = call.attributes["axis"] {
        axis = value < 0 ? value + x.shape.rank : value
      }
      var begin = 0
      return call.outputs.map { spec in
        defer { begin += spec.shape[axis] }
        return NaiveTensor(spec.shape) { index in
          var index = index
          index[axis] += begin
          return x[index]
        }
      }
    }
    LayerHarness.check(
      Split.self,
      cases: [
        LayerCase(["outputs": 2], [[4, 3]]),
        LayerCase(["axis": 1, "sizes": [1, 0, 2]], [[4, 3]]),
        LayerCase(
          ["axis": -1, "sizes": [2, 3], "outputs": 2], [TestInput([2, 2, 5], .uint8, in: 0...9)]),
        LayerCase(["num_outputs": 3], [[7, 2]]), LayerCase(["num_outputs": 1], [[7, 2]]),
        LayerCase(["num_outputs": 2, "outputs": 2], [[6]]),
        LayerCase(["outputs": 2, "axis": 1], [[2, 5], .known([4, 1])]),
        LayerCase(["outputs": 2, "axis": 1], [[1, 64, 60, 60]]),
      ], reference: reference)
    func extents(_ attributes: Attributes, _ inputs: [TestInput]) throws -> [Int] {
      try LayerHarness.infer(Split.self, attributes, inputs).map { $0.shape[0] }
    }
    #expect(try extents(["num_outputs": 3], [[7]]) == [3, 3, 1])
    #expect(try extents(["num_outputs": 2], [[7]]) == [4, 3])
    #expect(try extents(["outputs": 2], [[7], .known([6, 1])]) == [6, 1])
    expect(
      Split.self, "expected an extent that 2 outputs share on axis 0, found shape [7]",
      ["outputs": 2], [[7]])
    expect(
      Split.self, "expected an extent that 4 outputs share on axis 0, found shape [5]",
      ["num_outputs": 4], [[5]])
    expect(
      Split.self, "expected 'sizes' that add up to 7 on axis 0, found [3, 3]", ["sizes": [3, 3]],
      [[7]])
    expect(
      Split.self, "expected 'sizes' that add up to 7 on axis 0, found [8, -1]", ["outputs": 2],
      [[7], .known([8, -1])])
    expect(
      Split.self, "expected 2 'sizes', found 3", ["outputs": 2], [[7], .known([3, 3, 1])])
    expect(
      Split.self, "expected 2 outputs, found 3 in attribute 'outputs'",
      ["sizes": [3, 4], "outputs": 3], [[7]], code: .graph)
    expect(
      Split.self, "expected attribute 'outputs' (an integer), found none", [:], [[7]], code: .graph)
    expect(
      Split.self, "expected attribute 'num_outputs' in 1...65536, found 0", ["num_outputs": 0],
      [[7]], code: .graph)
  }

  @Test func gather() {
    LayerHarness.check(
      Gather.self,
      cases: [
        LayerCase([[3, 4], TestInput([2], .int64, [2, 0])]),
        LayerCase(["axis": 1], [[3, 4], TestInput([2, 2], .int64, [-1, 0, 3, -4])]),
        LayerCase(
          ["axis": -1], [TestInput([3, 4], .int8, in: -9...9), TestInput([1], .int32, [1])]),
        LayerCase([[3, 4], TestInput(.scalar, .int64, [-3])]),
        LayerCase(["axis": 1], [[2, 3, 4], TestInput([0], .int64, [])]),
        LayerCase(["axis": 1], [[2, 3, 0], TestInput([1], .int64, [2])]),
        LayerCase([[5, 20_000], TestInput([4], .int64, [4, 4, 0, 1])]),
        LayerCase([TestInput([4], .int64, in: -9...9), .known([1])]),
      ]
    ) { call in
      let (x, indices) = (call.inputs[0], call.inputs[1])
      var axis = 0
      if case .int(let value) = call.attributes["axis"] {
        axis = value < 0 ? value + x.shape.rank : value
      }
      let rank = indices.shape.rank
      return [
        NaiveTensor(call.outputs[0].shape) { index in
          let position = Int(indices[Array(index[axis..<axis + rank])])
          let wrapped = position < 0 ? position + x.shape[axis] : position
          return x[Array(index[..<axis]) + [wrapped] + Array(index[(axis + rank)...])]
        }
      ]
    }
    for wrong in [3, -4] {
      expectError(.argument, "expected indices in -3...2, found \(wrong)") {
        try LayerHarness.run(
          Gather.self, [:], [[3, 4], TestInput([2], .int64, [0, Double(wrong)])])
      }
      expect(
        Gather.self, "expected indices in -3...2, found \(wrong)", [:], [[3, 4], .known([wrong])],
        code: .argument)
    }
    expectError(.argument, "expected no indices into an axis of extent 0, found 0") {
      try LayerHarness.run(Gather.self, [:], [[0, 4], TestInput([1], .int64, [0])])
    }
    expect(
      Gather.self, "expected int64 or int32 indices, found float32", [:], [[3], [1]])
    expect(
      Gather.self, "expected an axis in -1...0, found 1", ["axis": 1], [[3], .known([0])])
    expect(
      Gather.self, "expected at most 8 axes, found 9", [:],
      [[1, 1, 1, 1, 1], TestInput([1, 1, 1, 1, 1], .int64, [0])])
  }

  @Test func pad() {
    let reference: NaiveReference = { call in
      let x = call.inputs[0]
      let pads = Self.ints(call, "pads", 1) ?? []
      let axes = Self.ints(call, "axes", 3) ?? Array(0..<x.shape.rank)
      var value = call.inputs.count > 2 ? call.inputs[2].elements.first ?? 0 : 0
      if case .float(let number) = call.attributes["value"] { value = number }
      if case .int(let number) = call.attributes["value"] { value = Double(number) }
      var mode = "constant"
      if case .string(let text) = call.attributes["mode"] { mode = text }
      // One axis after the other as a list of source positions, nil for the value.
      let tables: [[Int?]] = x.shape.dimensions.indices.map { axis in
        guard let k = axes.firstIndex(where: { ($0 + x.shape.rank) % x.shape.rank == axis }) else {
          return Array(0..<x.shape[axis])
        }
        let (begin, end) = (pads[k], pads[k + axes.count])
        var list = Array((0..<x.shape[axis]).dropFirst(max(-begin, 0)).dropLast(max(-end, 0)))
          .map(Optional.some)
        let count = list.count
        func extra(_ distance: Int, before: Bool) -> Int? {
          switch mode {
          case "edge": return before ? list[0] : list[count - 1]
          case "wrap":
            let step = (distance - 1) % count
            return before ? list[count - 1 - step] : list[step]
          case "reflect":
            guard count > 1 else { return list[0] }
            let cycle = Array(0..<count) + (1..<count - 1).reversed()
            let step = distance % cycle.count
            return list[before ? cycle[step] : cycle[(count - 1 + distance) % cycle.count]]
          default: return nil
          }
        }
        let front = (0..<max(begin, 0)).map { extra(max(begin, 0) - $0, before: true) }
        let back = (0..<max(end, 0)).map { extra($0 + 1, before: false) }
        list = front + list + back
        return list
      }
      return [
        NaiveTensor(try Shape(tables.map(\.count))) { index in
          let source = index.enumerated().map { tables[$0][$1] }
          return source.contains(nil) ? value : x[source.compactMap { $0 }]
        }
      ]
    }
    var cases = [
      LayerCase(["pads": [0, 0, 1, 1, 0, 0, 1, 1]], [[2, 3, 5, 7]]),
      LayerCase(["pads": [0, 1, 2, 0], "value": 1.5], [[2, 3]]),
      LayerCase(["pads": [1, 2], "value": -7], [TestInput([3], .int64, in: -5...5)]),
      LayerCase(
        ["pads": [1, 0], "value": "-inf"], [[3]],
        expected: [NaiveTensor([4], [-.infinity, 1, 2, 3])]),
      LayerCase(["pads": [1, 2], "axes": [-1]], [TestInput([2, 3], .uint8, in: 0...255)]),
      LayerCase([[2, 3], .known([0, 2, 1, 0])]),
      LayerCase([[2, 3], .known([0, 2, 1, 0]), TestInput(.scalar, .float32, [3])]),
      LayerCase([[2, 3], .known([2, 1]), TestInput([0], .float32, []), .known([1])]),
      LayerCase(["pads": [-1, 0, 0, -2]], [[3, 5]]), LayerCase(["pads": [-3, 0, 0, 0]], [[3, 5]]),
      LayerCase(["pads": [1, -1, 0, 2]], [[3, 5]]), LayerCase(["pads": [1, 1]], [[0]]),
      LayerCase(["pads": [0, 0]], [[4]]),
      LayerCase(["pads": [0, 0, 3, 3, 0, 0, 3, 3]], [[1, 8, 100, 100]]),
    ]
    cases[3].inputs[0].values = [1, 2, 3]
    for mode in ["reflect", "edge", "wrap"] {
      cases += [
        LayerCase(["mode": .string(mode), "pads": [1, 2, 2, 1]], [[4, 5]]),
        LayerCase(["mode": .string(mode), "pads": [0, 0, 3, 3, 0, 0, 3, 3]], [[1, 2, 4, 9]]),
        LayerCase(["mode": .string(mode), "pads": [5, 6]], [TestInput([3], .int32, in: -9...9)]),
        LayerCase(["mode": .string(mode), "pads": [2, 2]], [[1]]),
        LayerCase(["mode": .string(mode), "pads": [-1, 2]], [[4]]),
        LayerCase(["mode": .string(mode), "pads": [1, 1, 0, 0]], [TestInput([3, 4], .float16)]),
      ]
    }
    LayerHarness.check(Pad.self, cases: cases, reference: reference)
    expect(
      Pad.self, "expected to crop at most 3 elements on axis 1, found 4", ["pads": [0, -4, 0, 0]],
      [[2, 3]])
    expect(
      Pad.self, "expected to crop at most 3 elements on axis 1, found 4", ["pads": [0, -2, 0, -2]],
      [[2, 3]])
    expect(
      Pad.self, "expected to crop at most 2 elements on axis 0, found 5",
      ["pads": [-5, 0, 9, 0]], [[2, 3]])
    expect(Pad.self, "expected 4 'pads' for 2 axes, found 3", ["pads": [0, 1, 2]], [[2, 3]])
    expect(
      Pad.self, "expected elements on axis 0 for mode 'reflect', found none",
      ["pads": [1, 0], "mode": "reflect"], [[0]])
    expect(
      Pad.self, "expected elements on axis 0 for mode 'edge', found none",
      ["pads": [-2, 1], "mode": "edge"], [[2]])
    expect(
      Pad.self, "expected extents in 0...2147483647, found 2147483650 in [2147483650]",
      ["pads": [2_147_483_647, 0]], [[3]])
    expect(
      Pad.self, "expected one float32 number for 'value', found int64 []", [:],
      [[2], .known([0, 1]), TestInput(.scalar, .int64, [3])])
    expect(
      Pad.self,
      "expected attribute 'mode' to be one of constant, reflect, edge, wrap, found 'zero'",
      ["pads": [0, 0], "mode": "zero"], [[2]], code: .graph)
  }

  @Test func expand() {
    LayerHarness.check(
      Expand.self,
      cases: [
        LayerCase(["shape": [2, 3]], [[3]]), LayerCase(["shape": [3, 1]], [[3, 4]]),
        LayerCase(["shape": [2, 1, 6]], [[3, 1]]), LayerCase([[1, 3, 1], .known([2, 1, 4])]),
        LayerCase(["shape": [0, 3]], [[1, 3]]), LayerCase(["shape": .ints([])], [[2]]),
        LayerCase(["shape": [2, 2]], [TestInput(.scalar, .int64, [5])]),
        LayerCase(["shape": [1, 16, 80, 80]], [[16, 1, 1]]),
        LayerCase(["shape": [3, 5]], [TestInput([3, 1], .bool)]),
      ]
    ) { call in
      [NaiveTensor(call.outputs[0].shape) { call.inputs[0].broadcast(at: $0) }]
    }
    expect(
      Expand.self, "expected shapes that broadcast, found [3] and [2]", ["shape": [2]], [[3]])
    expect(
      Expand.self, "expected extents in 0...2147483647, found -1 in [-1]", ["shape": [-1]], [[3]])
  }

  @Test func tile() {
    LayerHarness.check(
      Tile.self,
      cases: [
        LayerCase(["repeats": [2, 3]], [[3, 4]]), LayerCase(["repeats": [1, 1]], [[3, 4]]),
        LayerCase(["repeats": [0, 2]], [[3, 4]]), LayerCase([[2, 1, 3], .known([3, 2, 1])]),
        LayerCase(["repeats": [4]], [TestInput([3], .uint8, in: 0...255)]),
        LayerCase(["repeats": [1, 2, 2, 1, 1, 2, 1, 2]], [[1, 2, 1, 2, 1, 2, 1, 2]]),
        LayerCase(["repeats": [2, 1, 2, 3]], [[1, 8, 40, 40]]),
      ]
    ) { call in
      let x = call.inputs[0]
      return [
        NaiveTensor(call.outputs[0].shape) { index in
          x[zip(index, x.shape.dimensions).map { $0 % $1 }]
        }
      ]
    }
    expect(
      Tile.self, "expected 2 'repeats' for input [3, 4], found 1", ["repeats": [2]], [[3, 4]])
    expect(
      Tile.self, "expected extents in 0...2147483647, found 6442450941 in [6442450941]",
      ["repeats": [2_147_483_647]], [[3]])
    expect(
      Tile.self, "expected 'repeats' in 0...2147483647, found 4611686018427387904", [:],
      [[4], .known([1 << 62])])
    expect(
      Tile.self, "expected attribute 'repeats' in 0...2147483647, found -1", ["repeats": [-1]],
      [[3]], code: .graph)
    expect(
      Tile.self, "expected at most 2^40 elements, found [2097152, 2097152]",
      ["repeats": [1_048_576, 1_048_576]], [[2, 2]])
  }

  @Test func select() {
    LayerHarness.check(
      Where.self,
      cases: [
        LayerCase([TestInput([2, 3], .bool), [2, 3], [2, 3]]),
        LayerCase([TestInput([3], .bool), [2, 3], TestInput(.scalar)]),
        LayerCase([TestInput([2, 1, 1], .bool), [4, 1], [3]]),
        LayerCase([
          TestInput(.scalar, .bool), TestInput([2], .int64, in: -5...5),
          TestInput([2, 2], .int64, in: -5...5),
        ]),
        LayerCase([TestInput([2], .bool), TestInput([2], .bool), TestInput([2], .bool)]),
        LayerCase([TestInput([2, 0], .bool), [1, 1], [1]]),
        LayerCase([TestInput([64, 1], .bool), [1, 700], [64, 700]]),
      ]
    ) { call in
      [
        NaiveTensor(call.outputs[0].shape) { index in
          call.inputs[call.inputs[0].broadcast(at: index) != 0 ? 1 : 2].broadcast(at: index)
        }
      ]
    }
    expect(Where.self, "expected a bool condition, found float32", [:], [[2], [2], [2]])
    expect(
      Where.self, "expected elements of one type, found float32 and int64", [:],
      [TestInput([2], .bool), [2], TestInput([2], .int64)])
    expect(
      Where.self, "expected shapes that broadcast, found [2] and [3]", [:],
      [TestInput([2], .bool), [2], [3]])
  }

  @Test func depthToSpace() {
    LayerHarness.check(
      DepthToSpace.self,
      cases: [
        LayerCase(["block_size": 2], [[2, 8, 2, 3]]), LayerCase(["block_size": 1], [[1, 3, 2, 2]]),
        LayerCase(["block_size": 2, "mode": "crd"], [[2, 8, 2, 3]]),
        LayerCase(
          ["block_size": 3, "mode": "crd"], [TestInput([1, 18, 1, 2], .int8, in: -9...9)]),
        LayerCase(["block_size": 2], [[1, 64, 40, 40]]),
      ]
    ) { call in
      guard case .int(let b) = call.attributes["block_size"] else { return [] }
      let (x, isDCR) = (call.inputs[0], call.attributes["mode"] == nil)
      return [
        NaiveTensor(call.outputs[0].shape) { index in
          let (c, i, j) = (index[1], index[2] % b, index[3] % b)
          let depth = isDCR ? (i * b + j) * call.outputs[0].shape[1] + c : c * b * b + i * b + j
          return x[index[0], depth, index[2] / b, index[3] / b]
        }
      ]
    }
    expect(
      DepthToSpace.self, "expected [N, C, H, W] with C a multiple of 4, found [1, 6, 2, 2]",
      ["block_size": 2], [[1, 6, 2, 2]])
    expect(
      DepthToSpace.self, "expected [N, C, H, W] with C a multiple of 4, found [4, 4, 2]",
      ["block_size": 2], [[4, 4, 2]])
    expect(
      DepthToSpace.self, "expected attribute 'block_size' in 1...32768, found 0",
      ["block_size": 0], [[1, 4, 2, 2]], code: .graph)
  }

  @Test func spaceToDepth() {
    LayerHarness.check(
      SpaceToDepth.self,
      cases: [
        LayerCase(["block_size": 2], [[2, 3, 4, 6]]), LayerCase(["block_size": 1], [[1, 3, 2, 2]]),
        LayerCase(["block_size": 3], [TestInput([1, 2, 3, 6], .int64, in: -9...9)]),
        LayerCase(["block_size": 2], [[1, 16, 80, 80]]),
        LayerCase(["block_size": 2, "mode": "crd"], [[2, 3, 4, 6]]),
      ]
    ) { call in
      guard case .int(let b) = call.attributes["block_size"] else { return [] }
      let (x, isDCR) = (call.inputs[0], call.attributes["mode"] == nil)
      return [
        NaiveTensor(call.outputs[0].shape) { index in
          let (block, c) =
            isDCR
            ? index[1].quotientAndRemainder(dividingBy: x.shape[1])
            : (index[1] % (b * b), index[1] / (b * b))
          return x[index[0], c, index[2] * b + block / b, index[3] * b + block % b]
        }
      ]
    }
    expect(
      SpaceToDepth.self, "expected [N, C, H, W] with H and W multiples of 2, found [1, 3, 3, 4]",
      ["block_size": 2], [[1, 3, 3, 4]])
  }

  @Test func channelShuffle() {
    LayerHarness.check(
      ChannelShuffle.self,
      cases: [
        LayerCase(["groups": 2], [[2, 6, 3, 4]]), LayerCase(["groups": 3], [[2, 6]]),
        LayerCase(["groups": 1], [[2, 6, 3]]),
        LayerCase(["groups": 6], [TestInput([1, 6, 2], .float16)]),
        LayerCase(["groups": 4], [[1, 64, 40, 40]]),
      ]
    ) { call in
      guard case .int(let groups) = call.attributes["groups"] else { return [] }
      let x = call.inputs[0]
      return [
        NaiveTensor(x.shape) { index in
          var source = index
          source[1] = index[1] % groups * (x.shape[1] / groups) + index[1] / groups
          return x[source]
        }
      ]
    }
    expect(
      ChannelShuffle.self, "expected [N, C, …] with C a multiple of 4, found [1, 6, 2]",
      ["groups": 4], [[1, 6, 2]])
    expect(
      ChannelShuffle.self, "expected [N, C, …] with C a multiple of 1, found [6]", ["groups": 1],
      [[6]])
  }

  // MARK: - Cast

  private static let integerRanges: [ElementType: (Double, Double)] = [
    .int8: (-128, 127), .int16: (-32768, 32767), .int32: (-2_147_483_648, 2_147_483_647),
    .uint8: (0, 255), .uint16: (0, 65535), .uint32: (0, 4_294_967_295),
  ]

  @Test(arguments: ElementType.allCases)
  func castKeepsSmallNumbers(_ from: ElementType) {
    let values: [Double] = from == .bool ? [0, 1, 1, 0] : [0, 1, 2, 100]
    for to in ElementType.allCases {
      LayerHarness.check(
        Cast.self,
        cases: [
          LayerCase(
            ["to": .string(to.rawValue)], [TestInput([4], from, values)],
            expected: [NaiveTensor([4], values.map { to == .bool ? min($0, 1) : $0 })])
        ])
    }
  }

  @Test func castOfFloatsToIntegersSaturates() {
    let values: [Double] = [
      -1e30, -129.5, -1.9, -0.5, 0.5, 1.9, 127.5, 255.9, 65_536, 1e30, .infinity, -.infinity, .nan,
    ]
    for from in [ElementType.float32, .float64] {
      for (to, range) in Self.integerRanges {
        let expected = values.map { value -> Double in
          value.isNaN ? 0 : min(max(value.rounded(.towardZero), range.0), range.1)
        }
        LayerHarness.check(
          Cast.self,
          cases: [
            LayerCase(
              ["to": .string(to.rawValue)], [TestInput([13], from, values)],
              expected: [NaiveTensor([13], expected)])
          ])
      }
    }
  }

  private func cast<T: TensorElement, R: TensorElement>(_ values: [T], to: R.Type) throws -> [R] {
    let (layer, _) = try LayerRegistry.standard.makeLayer(
      "lamina.cast", ["to": .string(R.elementType.rawValue)])
    let x = try Tensor(Shape([values.count]), values)
    return try evaluate(
      layer, inputs: [x], parameters: [], outputs: layer.outputs(for: [x.spec]),
      pool: ThreadPool(threads: 1))[0].elements()
  }

  @Test func castAtTheEndsOf64Bits() throws {
    #expect(try cast([1e30, -1e30, Double.nan, -0.9], to: Int64.self) == [.max, .min, 0, 0])
    #expect(try cast([1e30, -1e30, Float.nan, -0.9], to: UInt64.self) == [.max, 0, 0, 0])
    #expect(
      try cast([0x1p63, 0x1.fffffffffffffp62] as [Double], to: Int64.self) == [
        .max, 9_223_372_036_854_774_784,
      ])
    #expect(try cast([Int64.min, -1, 300], to: UInt8.self) == [0, 255, 44])
    #expect(try cast([UInt64.max, 128], to: Int8.self) == [-1, -128])
    #expect(try cast([-1] as [Int32], to: UInt64.self) == [.max])
    #expect(
      try cast([0.0, -0.0, .nan, 1e-300] as [Double], to: Bool.self) == [false, false, true, true])
    #expect(try cast([0, 2, -1] as [Int32], to: Bool.self) == [false, true, true])
    // 2^24 + 1 lies between two floats; ties go to the even one.
    #expect(
      try cast([16_777_217, 16_777_219, .max] as [Int64], to: Float.self) == [
        16_777_216, 16_777_220, 0x1p63,
      ])
  }

  private func halves(of values: [Double], _ type: ElementType) throws -> [UInt16] {
    let (layer, _) = try LayerRegistry.standard.makeLayer(
      "lamina.cast", ["to": .string(type.rawValue)])
    let x = try Tensor(Shape([values.count]), values)
    let y = try evaluate(
      layer, inputs: [x], parameters: [], outputs: layer.outputs(for: [x.spec]),
      pool: ThreadPool(threads: 1))[0]
    return y.withBytes { Array($0.bindMemory(to: UInt16.self)) }
  }

  @Test func castToHalvesRoundsToNearestEven() throws {
    let random = CounterRandom(seed: 5)
    var values: [Double] = [
      0, -0.0, 1, 65_504, 65_519.99, 65_520, -65_520, 0x1p-24, 0x1p-25, 0x1.8p-25, 0x1p-26, 0x1p-14,
      0x1.ffcp-15, 0x1.ffep-15, .infinity, -.infinity, 1e300, 0x1p-1074, 2049, 2051,
    ]
    for n in 0..<20_000 {
      let word = random.bits(UInt64(n))
      let exponent = Int(word >> 32 % 44) - 28
      values.append(
        Double(Int64(truncatingIfNeeded: word)) * 0x1p-63
          * Double(sign: .plus, exponent: exponent, significand: 1))
    }
    #expect(try halves(of: values, .float16) == values.map { Float16($0).bitPattern })
    #expect(Float16(bitPattern: try halves(of: [.nan], .float16)[0]).isNaN)
  }

  @Test func castToBFloatRoundsToNearestEven() throws {
    // Every bfloat16 is the upper half of a float32, halfway points included.
    for upper: UInt16 in [0x0000, 0x0001, 0x007F, 0x0080, 0x3F80, 0x3F81, 0x7F7E, 0x7F7F, 0xBF80] {
      let value = Double(Float(bitPattern: UInt32(upper) << 16))
      let halfway = Double(Float(bitPattern: UInt32(upper) << 16 | 0x8000))
      let even = upper & 1 == 0 ? upper : upper + 1
      let away: Double = value < 0 || value.sign == .minus ? -1 : 1
      let step = Double(Float(bitPattern: UInt32(upper) << 16 | 0x8001))
      #expect(try halves(of: [value, halfway, step], .bfloat16) == [upper, even, upper + 1])
      #expect(try halves(of: [halfway - away * abs(halfway) * 0x1p-40], .bfloat16) == [upper])
    }
    #expect(try halves(of: [.infinity, -.infinity, 1e39], .bfloat16) == [0x7F80, 0xFF80, 0x7F80])
    #expect(Float(bitPattern: UInt32(try halves(of: [.nan], .bfloat16)[0]) << 16).isNaN)
    // 2^62 + 2^54 + 1 lies just above the halfway point 2^62 + 2^54; a double would not show it.
    let (layer, _) = try LayerRegistry.standard.makeLayer("lamina.cast", ["to": "bfloat16"])
    let x = try Tensor([2], [1 << 62 + 1 << 54 + 1, 1 << 62 + 1 << 54] as [Int64])
    let y = try evaluate(
      layer, inputs: [x], parameters: [], outputs: layer.outputs(for: [x.spec]),
      pool: ThreadPool(threads: 1))[0]
    #expect(y.withBytes { Array($0.bindMemory(to: UInt16.self)) } == [0x5E81, 0x5E80])
  }

  @Test func castFromHalvesIsExact() throws {
    let bits = (0...UInt16.max).map { $0 }
    for (type, expected) in [
      (ElementType.float16, bits.map { Float(Float16(bitPattern: $0)) }),
      (.bfloat16, bits.map { Float(bitPattern: UInt32($0) << 16) }),
    ] {
      let x = try Tensor(uninitialized: [65_536], type)
      x.withMutableBytes { $0.copyBytes(from: bits.withUnsafeBytes(Array.init)) }
      let (layer, _) = try LayerRegistry.standard.makeLayer("lamina.cast", ["to": "float32"])
      let y = try evaluate(
        layer, inputs: [x], parameters: [], outputs: layer.outputs(for: [x.spec]),
        pool: ThreadPool(threads: 2))[0].elements(as: Float.self)
      #expect(
        zip(y, expected).allSatisfy { $0.bitPattern == $1.bitPattern || ($0.isNaN && $1.isNaN) })
    }
  }

  @Test func castErrors() {
    expect(
      Cast.self,
      "expected attribute 'to' (one of float32, float16, bfloat16, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool), found none",
      [:], [[2]], code: .graph)
    expect(
      Cast.self,
      "expected attribute 'to' to be one of float32, float16, bfloat16, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool, found 'string'",
      ["to": "string"], [[2]], code: .graph)
  }
}
