import Lamina
import Testing

@Suite struct PreprocessingTests {
  // MARK: JSON

  @Test(arguments: [
    Preprocessing.imagenet, .inception, .tf, .caffe, .unscaled, .imagenet.sized(299, resize: 342),
    Preprocessing(
      inputSize: .init(height: 28, width: 20), resize: .init(.none, .lanczos, antialias: false),
      crop: .center, channels: .gray, layout: .nhwc, scale: -0.1, mean: [0.1307], std: [0.3081]),
    Preprocessing(inputSize: .init(7), resize: .init(.cropToAspectRatio, .box)),
  ])
  func jsonKeepsEveryField(preprocessing: Preprocessing) throws {
    let text = preprocessing.json.text(pretty: true)
    #expect(try Preprocessing(json: JSON.parse(text: text)) == preprocessing)
  }

  @Test func jsonIsTheDocumentedOne() {
    #expect(
      Preprocessing.imagenet.json.text() == """
        {"input_size":[224,224],"resize":{"mode":"shorter_side","side":256,"interpolation":"bilinear",\
        "antialias":true},"crop":"center","channels":"rgb","layout":"nchw","scale":0.00392156862745098,\
        "mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}
        """)
  }

  @Test func onlyTheSizeIsRequired() throws {
    let json = try JSON.parse(text: #"{"input_size": [32, 24]}"#)
    #expect(try Preprocessing(json: json) == Preprocessing(inputSize: .init(height: 32, width: 24)))
  }

  @Test(arguments: [
    (
      "[]",
      "2 problems: expected preprocessing to be an object, found array; expected a field 'input_size'"
    ),
    ("{}", "expected a field 'input_size'"),
    (#"{"input_size": 224}"#, "expected two integers for 'input_size', found 224"),
    (#"{"input_size": [224, 1.5]}"#, "expected two integers for 'input_size', found [224,1.5]"),
    (#"{"input_size": [0, 5]}"#, "expected an input height in 1...16384, found 0"),
    (
      #"{"input_size": [8, 8], "meen": [1]}"#,
      "unknown field 'meen' in preprocessing, did you mean 'mean'"
    ),
    (
      #"{"input_size": [8, 8], "resize": {"mode": "fit", "antialais": 1}}"#,
      "2 problems: expected one of none, exact, shorter_side, crop_to_aspect_ratio for 'mode', "
        + #"found "fit"; unknown field 'antialais' in resize, did you mean 'antialias'"#
    ),
    (
      #"{"input_size": [8, 8], "resize": {"mode": "exact", "side": 9}}"#,
      "expected no side with mode 'exact'"
    ),
    (
      #"{"input_size": [8, 8], "resize": {"mode": "shorter_side"}}"#,
      "expected a shorter side in 1...16384, found 0"
    ),
    (
      #"{"input_size": [8, 8], "resize": {"mode": "shorter_side", "side": 7}, "crop": "center"}"#,
      "expected a shorter side of at least the crop's 8, found 7"
    ),
    (
      #"{"input_size": [8, 8], "channels": "rgba"}"#,
      #"expected one of rgb, bgr, gray for 'channels', found "rgba""#
    ),
    (
      #"{"input_size": [8, 8], "scale": 0, "mean": [1, 2], "std": [1, 0, -1]}"#,
      "4 problems: expected a finite scale other than 0, found 0.0; expected 3 numbers in mean, found 2; "
        + "expected positive numbers in std, found 0.0; expected positive numbers in std, found -1.0"
    ),
    (
      #"{"input_size": [8, 8], "mean": [1, "x", 2]}"#,
      #"expected numbers for 'mean', found [1,"x",2]"#
    ),
  ])
  func allProblemsAreListed(text: String, problems: String) throws {
    let json = try JSON.parse(text: text)
    #expect(
      failure { _ = try Preprocessing(json: json, path: "m") }
        == "format: m: \(problems)")
  }

  @Test func rangesFollowFromTheNumbers() {
    #expect(Preprocessing.tf.valueRange == -1...1)
    #expect(Preprocessing.unscaled.valueRange == 0...255)
    #expect(Preprocessing.caffe.valueRange == -123.68...(255 - 103.939))
  }

  // MARK: Values

  private func plain(_ edit: (inout Preprocessing) -> Void = { _ in }) -> Preprocessing {
    var result = Preprocessing(
      inputSize: .init(height: 1, width: 2), resize: .init(.none), scale: 1)
    edit(&result)
    return result
  }

  private func values(_ preprocessing: Preprocessing, _ pixels: [UInt8] = [1, 2, 3, 4, 5, 6]) throws
    -> [Float]
  {
    try preprocessing.apply(to: Image(width: 2, height: 1, pixels: pixels)).elements()
  }

  @Test func channelsAndLayouts() throws {
    #expect(try values(plain()) == [1, 4, 2, 5, 3, 6])
    #expect(try values(plain { $0.channels = .bgr }) == [3, 6, 2, 5, 1, 4])
    #expect(try values(plain { $0.layout = .nhwc }) == [1, 2, 3, 4, 5, 6])
    #expect(
      try values(
        plain {
          $0.layout = .nhwc
          $0.channels = .bgr
        }) == [3, 2, 1, 6, 5, 4])
    #expect(
      try plain().apply(to: Image(width: 2, height: 1, pixels: [1, 2, 3, 4, 5, 6])).shape == [
        1, 3, 1, 2,
      ])
  }

  @Test func grayIsPillowsLuma() throws {
    let gray = Preprocessing(
      inputSize: .init(height: 1, width: 2), resize: .init(.none), channels: .gray, scale: 1)
    #expect(try values(gray, [255, 0, 0, 0, 255, 0]) == [76, 150])
    #expect(try values(gray, [0, 0, 255, 255, 255, 255]) == [29, 255])
    #expect(try values(gray, [10, 20, 30, 77, 77, 77]) == [18, 77])
  }

  static let presets: [(preset: Preprocessing, expected: [Double])] = [
    (.imagenet, [-2.117904, 0.205182, 2.64]),
    (.tf, [-1, 0.003922, 1]),
    (.caffe, [151.061, 11.221, -123.68]),
    (.inception, [-1, 0.003922, 1]),
    (.unscaled, [0, 128, 255]),
  ]

  @Test(arguments: presets.indices)
  func presetsGiveTheNumbersOfTheirFrameworks(index: Int) throws {
    let expected = PreprocessingTests.presets[index].expected
    var preprocessing = PreprocessingTests.presets[index].preset
    preprocessing.inputSize = .init(1)
    preprocessing.resize = .init(.none)
    let image = try Image(width: 1, height: 1, pixels: [0, 128, 255])
    let values: [Float] = try preprocessing.apply(to: image).elements()
    for (value, expected) in zip(values, expected) { #expect(abs(Double(value) - expected) < 1e-5) }
  }

  /// The window that is computed alone equals the crop of the whole.
  @Test(arguments: Preprocessing.Interpolation.allCases, [(61, 40), (40, 61), (20, 23), (16, 16)])
  func theCropIsThatOfTheWholePicture(
    interpolation: Preprocessing.Interpolation, size: (Int, Int)
  ) throws {
    let image = try noise(width: size.0, height: size.1)
    let preprocessing = Preprocessing(
      inputSize: .init(height: 16, width: 14), resize: .init(.shorterSide(20), interpolation),
      crop: .center, layout: .nhwc, scale: 1)
    let whole = try image.resized(shorterSide: 20, interpolation).centerCropped(
      width: 14, height: 16)
    let values: [Float] = try preprocessing.apply(to: image).elements()
    #expect(values == whole.pixels.map { Float($0) })
  }

  /// 40 x 20 for a square input: Keras cuts 20 x 20 from column 10.
  @Test(arguments: [(40, 20, 10, 0, 20, 20), (21, 50, 0, 14, 21, 21), (5, 5, 0, 0, 5, 5)])
  func aspectCropsAreKeras(w: Int, h: Int, x: Int, y: Int, side: Int, other: Int) throws {
    let image = try noise(width: w, height: h)
    let preprocessing = Preprocessing(
      inputSize: .init(8), resize: .init(.cropToAspectRatio), layout: .nhwc, scale: 1)
    let expected = try image.cropped(x: x, y: y, width: side, height: other).resized(
      width: 8, height: 8)
    let values: [Float] = try preprocessing.apply(to: image).elements()
    #expect(values == expected.pixels.map { Float($0) })
  }

  @Test func targetsAreCheckedFilledAndNotOverrun() throws {
    let image = try noise(width: 9, height: 9)
    let preprocessing = Preprocessing(inputSize: .init(height: 4, width: 5))
    var buffer = [Float](repeating: .nan, count: 3 * 20 + 2)
    try buffer.withUnsafeMutableBytes { bytes in
      let base = try #require(bytes.baseAddress)
      try preprocessing.apply(to: image, into: MutableTensorView([3, 4, 5], .float32, base + 4))
      func error(_ shape: Shape, _ type: ElementType = .float32) -> String? {
        failure {
          try preprocessing.apply(to: image, into: MutableTensorView(shape, type, base + 4))
        }
      }
      #expect(
        error([1, 3, 5, 4]) == "shape: expected float32 [1, 3, 4, 5], found float32 [1, 3, 5, 4]")
      #expect(error([60]) == "shape: expected float32 [1, 3, 4, 5], found float32 [60]")
      #expect(
        error([1, 3, 4, 5], .int32)
          == "shape: expected float32 [1, 3, 4, 5], found int32 [1, 3, 4, 5]")
    }
    #expect(buffer[0].isNaN && buffer[61].isNaN)
    #expect(!buffer[1...60].contains { $0.isNaN })
    let expected: [Float] = try preprocessing.apply(to: image).elements()
    #expect(Array(buffer[1...60]) == expected)
    try image.withPixels { pixels in
      try buffer.withUnsafeMutableBytes { bytes in
        let target = MutableTensorView([1, 3, 4, 5], .float32, try #require(bytes.baseAddress) + 8)
        try preprocessing.apply(
          toRGB: UnsafeRawBufferPointer(pixels), width: 9, height: 9, into: target)
        #expect(
          failure {
            try preprocessing.apply(
              toRGB: UnsafeRawBufferPointer(pixels), width: 9, height: 8, into: target)
          } == "argument: expected 216 bytes for 9 x 8 pixels, found 243")
      }
    }
    #expect(Array(buffer[2...61]) == expected)
  }

  @Test func impossibleSizesAreErrors() throws {
    let image = try noise(width: 9, height: 6)
    func error(_ preprocessing: Preprocessing) -> String? {
      failure { _ = try preprocessing.apply(to: image) }
    }
    #expect(
      error(Preprocessing(inputSize: .init(0)))
        == "argument: 2 problems: expected an input height in 1...16384, found 0; "
        + "expected an input width in 1...16384, found 0")
    #expect(
      error(Preprocessing(inputSize: .init(8), resize: .init(.none)))
        == "argument: expected a resized picture of 8 x 8 pixels, found 9 x 6")
    #expect(
      error(Preprocessing(inputSize: .init(8), resize: .init(.none), crop: .center))
        == "argument: expected a crop within 9 x 6 pixels, found 8 x 8")
    #expect(
      error(Preprocessing(inputSize: .init(8), resize: .init(.shorterSide(8))))
        == "argument: expected a resized picture of 8 x 8 pixels, found 12 x 8")
    #expect(
      error(Preprocessing(inputSize: .init(8), mean: [1]))
        == "argument: expected 3 numbers in mean, found 1")
    #expect(
      error(Preprocessing(inputSize: .init(8), scale: .infinity))
        == "argument: expected a finite scale other than 0, found inf")
  }
}
