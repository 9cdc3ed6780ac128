import Lamina
import LaminaTestSupport
import Testing

@Suite struct KeyMapTests {
  @Test(arguments: [
    ("fc.*", "fc.weight", true), ("fc.*", "fc2.weight", false), ("fc.*", "fc.", true),
    ("*.num_batches_tracked", "layer1.0.bn1.num_batches_tracked", true),
    ("*.num_batches_tracked", "num_batches_tracked", false),
    ("layer*.{}.bn*", "layer1.0.bn1.weight", true), ("layer*.{}.bn*", "layer1.bn1", false),
    ("{}.weight", "a.weight", true), ("{}.weight", "a.b.weight", false),
    ("{}.weight", ".weight", false),
    ("", "", true), ("", "a", false), ("*", "", true), ("**", "abc", true), ("a*a*a", "aa", false),
    ("a*a*a", "aaa", true), ("{}{}", "a", false), ("{}{}", "ab", true),
  ]) func patternsMatchWhole(pattern: String, key: String, matches: Bool) {
    #expect(KeyPattern(pattern).matches(key) == matches)
  }

  @Test func longPatternsEnd() {
    let pattern = KeyPattern(String(repeating: "*a", count: 40))
    #expect(!pattern.matches(String(repeating: "a", count: 39) + "b"))
    #expect(pattern.matches(String(repeating: "a", count: 60)))
  }

  @Test func rulesApplyInOrder() {
    let map = KeyMap(rules: [
      .prefix("features.", "body."), .exact("body.0.weight", "stem.weight"),
      .pattern("body.{}.*", "layer.{}.unit.*"), .pattern("{}.{}.x", "{}.y.{}"),
    ])
    #expect(map.target(of: "features.0.weight") == "stem.weight")
    #expect(map.target(of: "features.3.bn.weight") == "layer.3.unit.bn.weight")
    #expect(map.target(of: "a.b.x") == "a.y.b")
    #expect(map.target(of: "other") == "other")
    let lite = KeyMap(origin: "", ["_blocks.{}._*": "blocks.{}.*", "_*": "*"])
    #expect(lite.target(of: "_blocks.12._bn0.weight") == "blocks.12.bn0.weight")
    #expect(lite.target(of: "_conv_stem.weight") == "conv_stem.weight")
    #expect(lite.target(of: "_fc.bias") == "fc.bias")
  }

  private func source(_ tensors: [String: Tensor]) throws -> any TensorSource {
    try openTensorSource(bytes: SafeTensors.bytes(tensors), name: "file")
  }

  private func fitting(prefix: String = "") throws -> [String: Tensor] {
    var tensors: [String: Tensor] = [:]
    for (offset, node) in ["body", "fc"].enumerated() {
      tensors["\(prefix)\(node).weight"] = try Tensor(
        [3, 2], (0..<6).map { Float($0 + 10 * offset) })
      tensors["\(prefix)\(node).bias"] = try Tensor(
        [3], [Float](repeating: Float(offset), count: 3))
    }
    return tensors
  }

  @Test(arguments: ["", "module.", "model.", "module.model."])
  func wrappersAreTakenOff(prefix: String) throws {
    let (model, report) = try scaleModel().loadingWeights(from: source(fitting(prefix: prefix)))
    #expect(equalBytes(model.parameters, try fitting()))
    #expect(report.strippedPrefix == prefix)
    #expect(report.isComplete)
    #expect(report.loaded.map(\.key) == ["body.bias", "body.weight", "fc.bias", "fc.weight"])
    #expect(
      report.loaded.map(\.source)
        == ["body.bias", "body.weight", "fc.bias", "fc.weight"].map { prefix + $0 })
  }

  @Test func prefixesThatTheModelHasStay() throws {
    let model = try scaleModel(names: ["model.body", "model.fc"])
    let (_, report) = try model.loadingWeights(from: source(fitting(prefix: "model.")))
    #expect(report.strippedPrefix == "")
    #expect(report.isComplete)
  }

  @Test func allProblemsComeAtOnce() throws {
    var tensors = try fitting()
    tensors["body.weight"] = try Tensor([2, 3], [Float](repeating: 0, count: 6))
    tensors["fc.bias"] = nil
    tensors["body.bias"] = try Tensor([3], [Int64(1), 2, 3])
    tensors["extra"] = try Tensor(zeros: [1])
    tensors["bn.num_batches_tracked"] = try Tensor([], [Int64(3)])
    let file = try source(tensors)
    expectError(
      .weights,
      "1 loaded, 1 missing, 1 unused, 2 mismatched, 1 ignored, 0 reinitialised: missing 'fc.bias'; "
        + "unused 'extra'; 'body.bias': expected float32 [3], found int64 [3]; "
        + "'body.weight': expected float32 [3, 2], found float32 [2, 3]",
      path: "file (safetensors)"
    ) { try scaleModel().loadingWeights(from: file) }

    let (model, report) = try scaleModel().loadingWeights(
      from: file, options: LoadOptions(isStrict: false))
    #expect(report.loaded.map(\.key) == ["fc.weight"])
    #expect(report.missing == ["fc.bias"])
    #expect(report.unused == ["extra"])
    #expect(report.ignored == ["bn.num_batches_tracked"])
    #expect(model.parameters["fc.weight"]?.elements(as: Float.self)[0] == 10)
    #expect(model.parameters["body.weight"]?.elements(as: Float.self) == [1, 1, 1, 1, 1, 1])
    #expect(
      report.text == """
        file (safetensors): 1 loaded, 1 missing, 1 unused, 2 mismatched, 1 ignored, 0 reinitialised
        missing 'fc.bias'
        unused 'extra'
        'body.bias': expected float32 [3], found int64 [3]
        'body.weight': expected float32 [3, 2], found float32 [2, 3]
        """)
    #expect(
      report.json.text()
        == #"{"source":"file (safetensors)","loaded":[{"key":"fc.weight","source":"fc.weight"}],"#
        + #""missing":["fc.bias"],"unused":["extra"],"mismatched":[{"key":"body.bias","source":"body.bias","#
        + #""problem":"expected float32 [3], found int64 [3]"},{"key":"body.weight","source":"body.weight","#
        + #""problem":"expected float32 [3, 2], found float32 [2, 3]"}],"ignored":["bn.num_batches_tracked"],"#
        + #""reinitialised":[]}"#)
  }

  @Test func nothingMatchedIsAlwaysAnError() throws {
    let tensors = [
      "bodi.weight": try Tensor(zeros: [3, 2]), "zzzzzzzzzzzzzzzz": try Tensor(zeros: [1]),
    ]
    let file = try source(tensors)
    for isStrict in [true, false] {
      expectError(
        .weights,
        "none of 2 tensors fits a parameter of the model ('body.bias', 'body.weight', 'fc.bias', …): "
          + "'bodi.weight', nearest is 'body.weight'; 'zzzzzzzzzzzzzzzz' is like no parameter",
        path: "file (safetensors)"
      ) {
        try scaleModel().loadingWeights(from: file, options: LoadOptions(isStrict: isStrict))
      }
    }
  }

  @Test func newHeadsAreSaidAloud() throws {
    var tensors = try fitting()
    tensors["fc.weight"] = try Tensor(zeros: [1000, 2])
    let file = try source(tensors)
    let (model, report) = try scaleModel().loadingWeights(
      from: file, options: LoadOptions(reinitialise: ["fc.*"]))
    #expect(report.reinitialised == ["fc.bias", "fc.weight"])
    #expect(report.ignored == ["fc.bias", "fc.weight"])
    #expect(report.isComplete)
    #expect(model.parameters["fc.weight"]?.elements(as: Float.self) == [1, 1, 1, 1, 1, 1])
    expectError(
      .weights,
      "no parameter matches 'fc.wieght', which is to be reinitialised, nearest is 'fc.weight'"
    ) {
      try scaleModel().loadingWeights(from: file, options: LoadOptions(reinitialise: ["fc.wieght"]))
    }
  }

  @Test func twoTensorsForOneParameterAreAnError() throws {
    var tensors = try fitting()
    tensors["head.bias"] = tensors["fc.bias"]
    let file = try source(tensors)
    expectError(
      .weights, "tensors 'fc.bias' and 'head.bias' both become 'fc.bias'",
      path: "file (safetensors)"
    ) {
      try scaleModel().loadingWeights(from: file, keyMap: KeyMap(rules: [.prefix("head.", "fc.")]))
    }
  }

  @Test func transformsChangeTensors() throws {
    var tensors = try fitting()
    tensors["body.weight"] = try Tensor([2, 3], [Float(0), 1, 2, 3, 4, 5])
    tensors["fc.weight"] = try Tensor([6], [Float(0), 1, 2, 3, 4, 5])
    tensors["body.bias"] = try Tensor([3, 1, 1], [Float(7), 8, 9])
    let map = KeyMap(changes: [
      .init("body.weight", .transpose([1, 0])), .init("fc.weight", .reshape([3, -1])),
      .init("body.*", .matchUnitAxes),
    ])
    let (model, _) = try scaleModel().loadingWeights(from: source(tensors), keyMap: map)
    #expect(model.parameters["body.weight"]?.elements(as: Float.self) == [0, 3, 1, 4, 2, 5])
    #expect(model.parameters["fc.weight"]?.elements(as: Float.self) == [0, 1, 2, 3, 4, 5])
    #expect(model.parameters["body.bias"]?.elements(as: Float.self) == [7, 8, 9])
    // Without the map's word the shapes do not fit.
    let (_, report) = try scaleModel().loadingWeights(
      from: source(tensors), options: LoadOptions(isStrict: false))
    #expect(report.mismatched.map(\.key) == ["body.bias", "body.weight", "fc.weight"])
  }

  /// A file of weights alone gives a depthwise kernel of Keras as [1, c, h, w].
  @Test func unitAxesMayStandAnywhere() throws {
    let mobileNet = try ModelCatalog.entry(named: "mobilenet_v1")
    let model = try mobileNet.makeModel(registry: .standard, classes: 2)
    var tensors = model.parameters
    let kernel = try #require(tensors["conv_dw_1.weight"])
    tensors["conv_dw_1.weight"] = try kernel.reshaped([1, 32, 3, 3])
    let (loaded, report) = try model.loadingWeights(
      from: source(tensors), keyMaps: mobileNet.keyMaps)
    #expect(report.isComplete)
    #expect(equalBytes(loaded.parameters, model.parameters))
  }

  /// Convolutions, dense layers and norms are counted apart: files may have them in any order.
  @Test func modulesArePlacedByKind() throws {
    var builder = GraphBuilder(name: "g", registry: .standard)
    var x = try builder.input("input", [.batch, 2, 4, 4])
    for number in 1...2 {
      x = try builder.add(
        "lamina.conv2d", "conv\(number)", x,
        attributes: ["out_channels": 2, "kernel_size": [1, 1]])
      x = try builder.add("lamina.batch_norm", "bn\(number)", x)
    }
    try builder.output(x)
    let model = try Model(initializing: builder.graph, seed: 3, registry: .standard)
    let theirs = ["bn1": "a", "bn2": "b", "conv1": "c", "conv2": "d"]
    let tensors = Dictionary(
      uniqueKeysWithValues: model.parameters.map { key, tensor in
        let (module, part) = (String(key.prefix { $0 != "." }), key.drop { $0 != "." })
        return ("\(theirs[module] ?? module)\(part)", tensor)
      })
    let map = KeyMap(modules: ["conv1", "bn1", "conv2", "bn2"])
    let (loaded, report) = try model.loadingWeights(from: source(tensors), keyMap: map)
    #expect(report.isComplete)
    #expect(equalBytes(loaded.parameters, model.parameters))
  }

  @Test func flattenedFeaturesArePermuted() throws {
    // Columns in the order height, width, channels: value = 100·h + 10·w + c.
    let columns: [Float] = [0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121]
    var builder = GraphBuilder(name: "g", registry: scaleRegistry)
    let x = try builder.input("input", [.batch, 12])
    try builder.output(builder.add("test.wide", "fc", x))
    let model = try Model(initializing: builder.graph, registry: scaleRegistry)
    let map = KeyMap(changes: [.init("*", .permuteAfterFlatten(channels: 2, height: 2, width: 3))])
    let (loaded, _) = try model.loadingWeights(
      from: source(["fc.weight": Tensor([1, 12], columns)]), keyMap: map)
    #expect(
      loaded.parameters["fc.weight"]?.elements(as: Float.self)
        == [0, 10, 20, 100, 110, 120, 1, 11, 21, 101, 111, 121])
    let wrong = KeyMap(changes: [.init("*", .permuteAfterFlatten(channels: 5, height: 2, width: 3))]
    )
    expectError(
      .weights,
      "none of 1 tensors fits a parameter of the model ('fc.weight'): "
        + "'fc.weight': expected [out, 5·2·3] to permute, found [1, 12]",
      path: "file (safetensors)"
    ) {
      try model.loadingWeights(
        from: source(["fc.weight": Tensor([1, 12], columns)]), keyMap: wrong)
    }
  }

  @Test func badTransformsAreReported() throws {
    let tensors = try fitting()
    let cases: [(KeyMap.Transform, String)] = [
      (.transpose([0, 0]), "expected a permutation of 2 axes, found [0, 0]"),
      (.reshape([7]), "expected a shape of 6 elements, found [7]"),
      (.reshape([4, -1]), "expected a shape of 6 elements, found [4, -1]"),
      (.transpose([1, 0]), "expected float32 [3, 2], found float32 [3, 2], changed to [2, 3]"),
    ]
    for (transform, problem) in cases {
      let map = KeyMap(changes: [.init("body.weight", transform)])
      let (_, report) = try scaleModel().loadingWeights(
        from: source(tensors), keyMap: map, options: LoadOptions(isStrict: false))
      #expect(report.mismatched.map(\.problem) == [problem])
    }
  }

  @Test func floatsAreConverted() throws {
    func floats(_ type: ElementType, _ bytes: [UInt8]) throws -> [Float] {
      let tensor = try Tensor(uninitialized: [3], type)
      tensor.withMutableBytes { $0.copyBytes(from: bytes) }
      var tensors = try fitting()
      tensors["body.bias"] = tensor
      let (model, _) = try scaleModel().loadingWeights(from: source(tensors))
      return try #require(model.parameters["body.bias"]).elements(as: Float.self)
    }
    // 1.5, the smallest subnormal, -inf; then the largest subnormal, -0, 65504.
    let halves: [UInt16] = [0x3E00, 0x0001, 0xFC00]
    #expect(try floats(.float16, halves.flatMap(littleEndian)) == [1.5, 0x1p-24, -.infinity])
    let more = try floats(.float16, [UInt16(0x03FF), 0x8000, 0x7BFF].flatMap(littleEndian))
    #expect(more == [0x1.FF8p-15, 0, 65504])
    #expect(more[1].sign == .minus)
    #expect(
      try floats(.float16, [UInt16(0x7E01), 0xFE00, 0x7C01].flatMap(littleEndian)).allSatisfy(
        \.isNaN))
    let bfloats: [UInt16] = [0x3FC0, 0xC000, 0x7F80]
    #expect(try floats(.bfloat16, bfloats.flatMap(littleEndian)) == [1.5, -2, .infinity])
    let doubles = [0.1, -1e-300, 1e10].map(\.bitPattern).flatMap(littleEndian)
    #expect(try floats(.float64, doubles) == [0.1, 0, 1e10])
    expectError(
      .weights, "expected numbers within float32, found 1e+300",
      path: "file (safetensors): body.bias"
    ) { try floats(.float64, [0.1, 1e300, 0].map(\.bitPattern).flatMap(littleEndian)) }
  }

  @Test func everyHalfIsExact() {
    var wrong = 0
    for bits in UInt16.min...UInt16.max {
      let sign: Float = bits >> 15 == 1 ? -1 : 1
      let exponent = Int(bits >> 10 & 0x1F)
      let fraction = Float(bits & 0x3FF)
      let expected: Float =
        exponent == 0
        ? sign * fraction * 0x1p-24
        : exponent == 31
          ? (fraction == 0 ? sign * .infinity : .nan)
          : sign * (1 + fraction / 1024)
            * Float(sign: .plus, exponent: exponent - 15, significand: 1)
      let tensor = try? Tensor(uninitialized: [1], .float16)
      tensor?.withMutableBytes { $0.copyBytes(from: littleEndian(bits)) }
      let found = try? tensor?.convertedToFloat32().elements(as: Float.self).first
      if expected.isNaN ? found?.isNaN != true : found != expected { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  @Test func memoryIsBounded() throws {
    let file = try source(fitting())
    var limits = Limits()
    limits.memoryBytes = 71
    expectError(.limit, "expected at most 71 bytes of memory, file (safetensors) needs 72") {
      try scaleModel().loadingWeights(from: file, options: LoadOptions(limits: limits))
    }
  }
}
