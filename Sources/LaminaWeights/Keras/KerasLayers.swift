import LaminaCore

extension KerasConverter {
  /// Layers that compute nothing at inference.
  private static let identities: Set<String> = [
    "ActivityRegularization", "AlphaDropout", "GaussianDropout", "GaussianNoise", "Identity",
    "RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation",
    "RandomZoom", "SpatialDropout1D", "SpatialDropout2D",
  ]

  private static let joins: [String: LayerKind] = [
    "Add": "lamina.add", "Average": "lamina.mean", "Maximum": "lamina.max",
    "Minimum": "lamina.min", "Multiply": "lamina.mul",
  ]

  /// The classes that have a counterpart.
  static let classes = identities.union(joins.keys).union([
    "Activation", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D",
    "Conv2DTranspose", "Cropping2D", "CustomScaleLayer", "Dense", "DepthwiseConv2D", "Dropout",
    "ELU", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "InputLayer",
    "LayerNormalization", "LeakyReLU", "MaxPooling2D", "Normalization", "PReLU", "ReLU",
    "Rescaling", "Reshape", "SeparableConv2D", "Softmax", "Subtract", "ThresholdedReLU",
    "UpSampling2D", "ZeroPadding2D",
  ])

  /// Adds the nodes of a layer under `name`; `owner` is the layer's place in the models.
  mutating func convert(
    _ layer: KerasLayer, _ options: KerasOptions, _ input: Value, _ inputs: [Value], name: String,
    owner: String
  ) throws -> Value {
    switch layer.className {
    case "Conv2D", "DepthwiseConv2D", "Conv2DTranspose":
      return try convolution(layer, options, input, name: name, owner: owner)
    case "SeparableConv2D": return try separable(layer, options, input, name: name, owner: owner)
    case "Dense": return try dense(layer, options, input, name: name, owner: owner)
    case "BatchNormalization", "LayerNormalization":
      return try normalization(layer, options, input, name: name, owner: owner)
    case "MaxPooling2D", "AveragePooling2D":
      try expectMap(input, options)
      let size = try options.pair("pool_size", default: [2, 2])
      return try emit(
        layer.className == "MaxPooling2D" ? "lamina.max_pool" : "lamina.average_pool", name,
        [input],
        [
          "kernel_size": .ints(size), "strides": .ints(try options.pair("strides", default: size)),
          "padding": try options.padding(),
        ])
    case "GlobalAveragePooling2D", "GlobalMaxPooling2D":
      try expectMap(input, options)
      let kind: LayerKind =
        layer.className == "GlobalMaxPooling2D"
        ? "lamina.global_max_pool" : "lamina.global_average_pool"
      if try options.bool("keepdims", default: false) { return try emit(kind, name, [input]) }
      return try emit("lamina.flatten", name, [emit(kind, "\(name).pool", [input])])
    case "Flatten": return try flatten(input, name: name)
    case "Reshape":
      let target = (options.value("target_shape")?.array ?? []).map { $0.int ?? 0 }
      return try reshape(input, to: target, name: name)
    case "Dropout":
      var result = try emit(
        "lamina.dropout", name, [input], ["rate": .float(try options.number("rate", default: 0.5))])
      result.flattened = input.flattened
      return result
    case "ZeroPadding2D":
      try expectMap(input, options)
      let pads = try options.borders("padding")
      return try emit(
        "lamina.pad", name, [input],
        ["pads": .ints([0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]])])
    case "Cropping2D":
      try expectMap(input, options)
      let cuts = try options.borders("cropping")
      let ends = [cuts[2], cuts[3]].map { $0 == 0 ? Shape.maximumExtent : -$0 }
      return try emit(
        "lamina.slice", name, [input],
        ["starts": .ints([cuts[0], cuts[1]]), "ends": .ints(ends), "axes": [2, 3]])
    case "UpSampling2D":
      try expectMap(input, options)
      let size = try options.pair("size", default: [2, 2])
      let mode = try options.string("interpolation", default: "nearest")
      guard ["nearest", "bilinear"].contains(mode) else {
        throw LaminaError(
          .unsupported,
          "expected interpolation 'nearest' or 'bilinear', found '\(mode.escapedForDisplay())'")
      }
      let scales = AttributeValue.floats([1, 1] + size.map(Double.init))
      return try emit(
        "lamina.resize", name, [input],
        mode == "nearest"
          ? [
            "mode": "nearest", "coordinates": "asymmetric", "nearest_mode": "floor",
            "scales": scales,
          ] : ["mode": "linear", "coordinates": "half_pixel", "scales": scales])
    case "Rescaling":
      let scale = try options.numbers("scale", default: [1])
      let offset = try options.numbers("offset", default: [0])
      let value = try inKerasOrder(input)
      let scaled = try emit(
        "lamina.mul", "\(name).mul",
        [value, constant("\(name).scale", scale.map { Float($0) }, like: value)])
      return try emit(
        "lamina.add", name,
        [scaled, constant("\(name).offset", offset.map { Float($0) }, like: value)])
    case "Normalization": return try standardization(options, input, name: name, layer: layer)
    case "Subtract":
      return try emit("lamina.sub", name, inputs.map { try inKerasOrder($0) })
    case "CustomScaleLayer":
      guard inputs.count == 2 else {
        throw LaminaError(.graph, "expected 2 inputs, found \(inputs.count)")
      }
      let scale = Float(try options.number("scale"))
      let scaled = try emit(
        "lamina.mul", "\(name).mul",
        [inputs[1], constant("\(name).scale", [scale], like: inputs[1])])
      return try emit("lamina.add", name, [inputs[0], scaled])
    case "Concatenate":
      let values = try inputs.map { try inKerasOrder($0) }
      let axis = try axis(try options.int("axis", default: -1), of: values[0])
      return try emit("lamina.concat", name, values, ["axis": .int(axis)])
    case let join where Self.joins[join] != nil:
      guard let kind = Self.joins[join] else { return input }
      let same = Set(inputs.map(\.flattened)).count == 1
      let values = same ? inputs : try inputs.map { try inKerasOrder($0) }
      guard Set(values.map(\.shape.rank)).count == 1 else {
        throw LaminaError(.unsupported, "inputs of different numbers of axes are not supported")
      }
      var result = try emit(kind, name, values)
      result.flattened = same ? input.flattened : nil
      return result
    case let identity where Self.identities.contains(identity):
      return input
    default:
      let activation = try Self.activation(of: layer, options)
      return try activate(input, activation, layer: layer, options, name: name, owner: owner)
    }
  }

  private func expectMap(_ value: Value, _ options: KerasOptions) throws {
    try options.expectChannelsLast()
    guard value.isMap else {
      throw LaminaError(.shape, "expected a map, found \(value.shape)")
    }
  }

  // MARK: - Layers with weights

  /// The node of a layer, then that of its activation; the value is named for the layer.
  private mutating func withActivation(
    _ options: KerasOptions, name: String, _ body: (inout KerasConverter, String?) throws -> Value
  ) throws -> Value {
    let activation = try options.activation()
    guard activation != "linear" else { return try body(&self, nil) }
    let value = try body(&self, "\(name).linear")
    return try activate(value, activation, name: "\(name).activation", output: name)
  }

  private mutating func convolution(
    _ layer: KerasLayer, _ options: KerasOptions, _ input: Value, name: String, owner: String
  ) throws -> Value {
    try expectMap(input, options)
    let weight = try take(layer.name, "weight", owner: owner)
    let shape = try shapeOfTensor(layer.name, "weight")
    guard shape.rank == 4 else {
      throw LaminaError(.weights, "expected a weight of 4 axes, found \(shape)")
    }
    let hasBias = try options.bool("use_bias", default: true)
    var bindings = ["weight": weight]
    if hasBias { bindings["bias"] = try take(layer.name, "bias", owner: owner) }
    let strides = try options.pair("strides", default: [1, 1])
    var attributes: Attributes = [
      "kernel_size": .ints([shape[2], shape[3]]), "strides": .ints(strides),
      "dilations": .ints(try options.pair("dilation_rate", default: [1, 1])),
      "padding": try options.padding(), "bias": .bool(hasBias),
    ]
    var kind: LayerKind = "lamina.conv2d"
    switch layer.className {
    case "Conv2DTranspose":
      kind = "lamina.conv_transpose"
      attributes["out_channels"] = .int(shape[1])
      guard options.value("output_padding") == nil else {
        throw LaminaError(.unsupported, "output_padding is not supported")
      }
      if attributes["padding"] == "valid" {
        let missing = zip(strides, [shape[2], shape[3]]).map { max($0 - $1, 0) }
        if missing != [0, 0] { attributes["output_padding"] = .ints(missing) }
      }
    case "DepthwiseConv2D":
      attributes["out_channels"] = .int(shape[0])
      attributes["groups"] = .int(input.shape[1])
    default:
      attributes["out_channels"] = .int(shape[0])
      attributes["groups"] = .int(try options.int("groups", default: 1))
    }
    return try withActivation(options, name: name) {
      try $0.emit(kind, name, [input], attributes, output: $1, bindings: bindings)
    }
  }

  private mutating func separable(
    _ layer: KerasLayer, _ options: KerasOptions, _ input: Value, name: String, owner: String
  ) throws -> Value {
    try expectMap(input, options)
    let first = try take(layer.name, "depthwise.weight", owner: owner)
    let second = try take(layer.name, "pointwise.weight", owner: owner)
    let shapes = [
      try shapeOfTensor(layer.name, "depthwise.weight"),
      try shapeOfTensor(layer.name, "pointwise.weight"),
    ]
    guard shapes.allSatisfy({ $0.rank == 4 }) else {
      throw LaminaError(.weights, "expected weights of 4 axes, found \(shapes)")
    }
    let hasBias = try options.bool("use_bias", default: true)
    var bindings = ["weight": second]
    if hasBias { bindings["bias"] = try take(layer.name, "bias", owner: owner) }
    let depthwise = try emit(
      "lamina.conv2d", "\(name).depthwise", [input],
      [
        "out_channels": .int(shapes[0][0]), "kernel_size": .ints([shapes[0][2], shapes[0][3]]),
        "strides": .ints(try options.pair("strides", default: [1, 1])),
        "dilations": .ints(try options.pair("dilation_rate", default: [1, 1])),
        "padding": try options.padding(), "groups": .int(input.shape[1]), "bias": false,
      ], bindings: ["weight": first])
    return try withActivation(options, name: name) {
      try $0.emit(
        "lamina.conv2d", "\(name).pointwise", [depthwise],
        ["out_channels": .int(shapes[1][0]), "kernel_size": [1, 1], "bias": .bool(hasBias)],
        output: $1 ?? name, bindings: bindings)
    }
  }

  /// On a map, dense is a convolution of 1×1.
  private mutating func dense(
    _ layer: KerasLayer, _ options: KerasOptions, _ input: Value, name: String, owner: String
  ) throws -> Value {
    let map = input.flattened
    let isMap = input.isMap
    guard isMap || input.shape.rank == 2 else {
      throw LaminaError(.unsupported, "expected an input of 2 or 4 axes, found \(input.shape)")
    }
    let weight = try take(layer.name, "weight", owner: owner) { tensor in
      guard tensor.shape.rank == 2 else {
        throw LaminaError(.weights, "expected a weight of 2 axes, found \(tensor.shape)")
      }
      if isMap { return try tensor.reshaped(try Shape(tensor.shape.dimensions + [1, 1])) }
      guard let map else { return tensor }
      let change = KeyMap.Transform.permuteAfterFlatten(
        channels: map[0], height: map[1], width: map[2])
      let shape = try change.shape(of: tensor.shape, for: tensor.shape)
      return try change.apply(to: tensor, shape: shape)
    }
    let features = try shapeOfTensor(layer.name, "weight")[0]
    let hasBias = try options.bool("use_bias", default: true)
    var bindings = ["weight": weight]
    if hasBias { bindings["bias"] = try take(layer.name, "bias", owner: owner) }
    return try withActivation(options, name: name) {
      isMap
        ? try $0.emit(
          "lamina.conv2d", name, [input],
          ["out_channels": .int(features), "kernel_size": [1, 1], "bias": .bool(hasBias)],
          output: $1, bindings: bindings)
        : try $0.emit(
          "lamina.dense", name, [input],
          ["out_features": .int(features), "bias": .bool(hasBias)], output: $1, bindings: bindings)
    }
  }

  private mutating func normalization(
    _ layer: KerasLayer, _ options: KerasOptions, _ input: Value, name: String, owner: String
  ) throws -> Value {
    let value = try inKerasOrder(input)
    let axes = options.value("axis")
    let found = axes?.int ?? (axes?.array?.count == 1 ? axes?.array?.first?.int : nil) ?? -1
    let isLast = try axes?.array?.count ?? 1 == 1 && value.shape.axis(found) == value.shape.rank - 1
    let isBatchNorm = layer.className == "BatchNormalization"
    guard isLast, isBatchNorm ? value.shape.rank != 3 : !value.isMap else {
      throw LaminaError(
        .unsupported, "expected normalization of the channels, found axis \(axes?.text() ?? "-1")")
    }
    let scale = try options.bool("scale", default: true)
    let center = try options.bool("center", default: true)
    let parameters =
      (scale ? ["weight"] : []) + (center ? ["bias"] : [])
      + (isBatchNorm ? ["running_mean", "running_var"] : [])
    var bindings: [String: Graph.ParameterBinding] = [:]
    for parameter in parameters {
      bindings[parameter] = try take(layer.name, parameter, owner: owner)
    }
    var attributes: Attributes = [
      "epsilon": .float(try options.number("epsilon", default: 1e-3)), "scale": .bool(scale),
      "center": .bool(center),
    ]
    if isBatchNorm {
      let momentum = try options.number("momentum", default: 0.99)
      attributes["momentum"] = .float(1 - min(max(momentum, 0), 1))
      attributes["unbiased"] = false
    }
    return try emit(
      isBatchNorm ? "lamina.batch_norm" : "lamina.layer_norm", name, [value], attributes,
      bindings: bindings)
  }

  /// y = (x − mean)/max(√variance, 1e-7), of which both are weights or options.
  private mutating func standardization(
    _ options: KerasOptions, _ input: Value, name: String, layer: KerasLayer
  ) throws -> Value {
    guard try !options.bool("invert", default: false) else {
      throw LaminaError(.unsupported, "an inverted normalization is not supported")
    }
    let value = try inKerasOrder(input)
    _ = try numbers(layer.name, "count")
    let mean =
      try numbers(layer.name, "mean") ?? options.numbers("mean", default: []).map { Float($0) }
    let variance =
      try numbers(layer.name, "variance")
      ?? options.numbers("variance", default: []).map { Float($0) }
    guard !mean.isEmpty, !variance.isEmpty else {
      throw LaminaError(.weights, "expected a mean and a variance, found none")
    }
    let centred = try emit(
      "lamina.sub", "\(name).sub", [value, constant("\(name).mean", mean, like: value)])
    let scale = variance.map { 1 / max($0.squareRoot(), 1e-7) }
    return try emit(
      "lamina.mul", name, [centred, constant("\(name).scale", scale, like: value)])
  }

  // MARK: - Activations

  private static func activation(of layer: KerasLayer, _ options: KerasOptions) throws -> String {
    layer.className == "Activation" ? try options.activation() : kerasSnakeCase(layer.className)
  }

  /// The node of an activation function, or of a layer that is one.
  private mutating func activate(
    _ input: Value, _ activation: String, layer: KerasLayer? = nil, _ options: KerasOptions? = nil,
    name: String, owner: String = "", output: String? = nil
  ) throws -> Value {
    let options = options ?? KerasOptions(json: .object([]), path: name)
    var input = input
    var kind: LayerKind
    var attributes: Attributes = [:]
    var bindings: [String: Graph.ParameterBinding] = [:]
    let isLayer = layer?.className != "Activation" && layer != nil
    func slope(_ names: [String], _ fallback: Double) throws -> AttributeValue {
      for name in names where options.value(name) != nil { return .float(try options.number(name)) }
      return .float(fallback)
    }
    switch activation {
    case "linear":
      kind = "lamina.identity"
    case "relu", "re_lu":
      let maximum = options.value("max_value") == nil ? nil : try options.number("max_value")
      let negative = try options.number("negative_slope", default: 0)
      guard try options.number("threshold", default: 0) == 0, maximum == nil || negative == 0 else {
        throw LaminaError(
          .unsupported, "a ReLU with a threshold or with both slopes is not supported")
      }
      kind = maximum != nil ? "lamina.clip" : negative != 0 ? "lamina.leaky_relu" : "lamina.relu"
      if let maximum { attributes = ["min": 0.0, "max": .float(maximum)] }
      if negative != 0 { attributes = ["alpha": .float(negative)] }
    case "relu6", "re_lu6":
      kind = "lamina.clip"
      attributes = ["min": 0.0, "max": 6.0]
    case "leaky_relu", "leaky_re_lu":
      kind = "lamina.leaky_relu"
      attributes = ["alpha": try slope(["negative_slope", "alpha"], isLayer ? 0.3 : 0.2)]
    case "elu":
      kind = "lamina.elu"
      attributes = ["alpha": .float(try options.number("alpha", default: 1))]
    case "thresholded_re_lu":
      kind = "lamina.thresholded_relu"
      attributes = ["alpha": .float(try options.number("theta", default: 1))]
    case "p_re_lu":
      kind = "lamina.prelu"
      input = try inKerasOrder(input)
      let module = layer?.name ?? name
      bindings["weight"] = try take(module, "weight", owner: owner)
      let shape = try shapeOfTensor(module, "weight")
      guard shape.rank == 1, shape.count == (input.isMap ? input.shape[1] : shape.count) else {
        throw LaminaError(
          .unsupported, "expected a slope for each channel, found slopes of shape \(shape)")
      }
    case "softmax", "log_softmax":
      kind = activation == "softmax" ? "lamina.softmax" : "lamina.log_softmax"
      input = try inKerasOrder(input)
      attributes = ["axis": .int(try axis(try options.int("axis", default: -1), of: input))]
    case "hard_sigmoid":
      kind = "lamina.hard_sigmoid"
      // Keras 3 took 1/6 where Keras 2 had 0.2.
      attributes = ["alpha": .float(config.isKeras3 ? 1 / 6 : 0.2), "beta": 0.5]
    case "gelu": kind = "lamina.gelu"
    case "swish", "silu": kind = "lamina.swish"
    case "hard_swish", "hard_silu": kind = "lamina.hard_swish"
    case "exponential":
      kind = "lamina.unary"
      attributes = ["function": "exp"]
    case "sigmoid", "tanh", "softplus", "softsign", "selu", "mish":
      kind = LayerKind("lamina.\(activation)")
    default:
      throw LaminaError(
        .unsupported, "activation '\(activation.escapedForDisplay())' is not supported")
    }
    var result = try emit(
      kind, name, [input], attributes, output: output, bindings: bindings)
    result.flattened = input.flattened
    return result
  }
}
