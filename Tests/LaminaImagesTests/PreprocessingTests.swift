import Lamina
import Testing

@Suite struct PreprocessingTests {
  // MARK: JSON

  @Test(arguments: [
    Preprocessing.torch(), .torch(size: 299, resize: 342, .bicubic), .tf(), .caffe(),
    Preprocessing(
      resize: .none, interpolation: .lanczos, antialias: false,
      centerCrop: .init(height: 28, width: 20), channelOrder: .gray, scale: -0.5, mean: [0.25],
      std: [0.75]),
    Preprocessing(resize: .exact(height: 7, width: 9), interpolation: .nearest, centerCrop: nil),
    Preprocessing(resize: .cover(height: 7, width: 9), interpolation: .box, centerCrop: nil),
  ])
  func jsonKeepsEveryField(recipe: Preprocessing) throws {
    let text = recipe.json.text(pretty: true)
    #expect(try Preprocessing(json: JSON.parse(text: text)) == recipe)
  }

  @Test func jsonIsTheDocumentedOne() {
    #expect(
      Preprocessing.caffe().json.text() == """
        {"resize":{"mode":"shorter_side","size":256},"interpolation":"bilinear","antialias":true,\
        "center_crop":[224,224],"channel_order":"bgr","scale":1.0,\
        "mean":[103.93900299072266,116.77899932861328,123.68000030517578],"std":[1.0]}
        """)
  }

  @Test(arguments: [
    ("[]", "format: m: expected an object, found array"),
    (#"{"meen": [1]}"#, "format: m: unknown field 'meen'"),
    (
      #"{"resize": {"mode": "fit"}, "antialias": 1, "scale": "x"}"#,
      "format: 3 problems: "
        + "m.resize: expected mode none, shorter_side, exact or cover with a size in 1...16384; "
        + "m.antialias: expected true or false; m.scale: expected a number"
    ),
    (
      #"{"resize": {"mode": "shorter_side", "size": 0}}"#,
      "format: m.resize: expected mode none, shorter_side, exact or cover with a size in 1...16384"
    ),
    (
      #"{"center_crop": [224, 1.5], "interpolation": "sinc", "channel_order": "rgba"}"#,
      "format: 3 problems: m.center_crop: expected [height, width] in 1...16384; "
        + "m.interpolation: expected nearest, bilinear, bicubic, box or lanczos; "
        + "m.channel_order: expected rgb, bgr or gray"
    ),
    (
      #"{"mean": [1, 2], "std": [1, 0, -1]}"#,
      "format: 2 problems: m.mean: expected 1 or 3 numbers; m.std: expected 1 or 3 numbers other than 0"
    ),
  ])
  func allProblemsAreListed(text: String, error: String) throws {
    let json = try JSON.parse(text: text)
    #expect(failure { _ = try Preprocessing(json: json, path: "m") } == error)
  }

  // MARK: Values

  private let pixels: [UInt8] = [1, 2, 3, 4, 5, 6]

  private func recipe(_ order: Preprocessing.ChannelOrder) -> Preprocessing {
    Preprocessing(
      resize: .none, centerCrop: nil, channelOrder: order, scale: 1, mean: [0], std: [1])
  }

  private func values(_ recipe: Preprocessing, _ pixels: [UInt8]) throws -> [Float] {
    try recipe.apply(to: Image(width: 2, height: 1, pixels: pixels)).elements()
  }

  @Test func channelsAreOrdered() throws {
    #expect(try values(recipe(.rgb), pixels) == [1, 4, 2, 5, 3, 6])
    #expect(try values(recipe(.bgr), pixels) == [3, 6, 2, 5, 1, 4])
    let image = try Image(width: 2, height: 1, pixels: pixels)
    #expect(try recipe(.rgb).apply(to: image).shape == [1, 3, 1, 2])
    #expect(try recipe(.gray).apply(to: image).shape == [1, 1, 1, 2])
  }

  @Test func grayIsPillowsLuma() throws {
    #expect(try values(recipe(.gray), [255, 0, 0, 0, 255, 0]) == [76, 150])
    #expect(try values(recipe(.gray), [0, 0, 255, 255, 255, 255]) == [29, 255])
    #expect(try values(recipe(.gray), [10, 20, 30, 77, 77, 77]) == [18, 77])
  }

  static let presets: [(preset: Preprocessing, expected: [Double])] = [
    (.torch(), [-2.117904, 0.205182, 2.64]),
    (.tf(), [-1, 0.003922, 1]),
    (.caffe(), [151.061, 11.221, -123.68]),
  ]

  @Test(arguments: presets.indices)
  func presetsGiveTheNumbersOfTheirFrameworks(index: Int) throws {
    var (recipe, expected) = PreprocessingTests.presets[index]
    recipe.resize = .none
    recipe.centerCrop = nil
    let image = try Image(width: 1, height: 1, pixels: [0, 128, 255])
    let values: [Float] = try recipe.apply(to: image).elements()
    #expect(values.count == 3)
    for (value, expected) in zip(values, expected) { #expect(abs(Double(value) - expected) < 1e-5) }
  }

  /// Planes of bytes from rows of pixels.
  private func planes(_ image: Image) -> [Float] {
    (0..<3).flatMap { channel in
      stride(from: channel, to: image.pixels.count, by: 3).map { Float(image.pixels[$0]) }
    }
  }

  /// The window that is computed alone equals the crop of the whole.
  @Test(arguments: Preprocessing.Interpolation.allCases, [(61, 40), (40, 61), (20, 23), (16, 16)])
  func theCropIsThatOfTheWholePicture(
    interpolation: Preprocessing.Interpolation, size: (Int, Int)
  ) throws {
    let image = try noise(width: size.0, height: size.1)
    let recipe = Preprocessing(
      resize: .shorterSide(20), interpolation: interpolation,
      centerCrop: .init(height: 16, width: 14), scale: 1, mean: [0], std: [1])
    let whole = try image.resized(shorterSide: 20, interpolation).centerCropped(
      width: 14, height: 16)
    #expect(try recipe.apply(to: image).elements() == planes(whole))
  }

  /// 40 x 20 for a square input: Keras cuts 20 x 20 from column 10.
  @Test(arguments: [
    (40, 20, Rectangle(10, 0, 20, 20)), (21, 50, Rectangle(0, 14, 21, 21)),
    (5, 5, Rectangle(0, 0, 5, 5)),
  ])
  func aspectCropsAreThoseOfKeras(w: Int, h: Int, crop: Rectangle) throws {
    let image = try noise(width: w, height: h)
    let recipe = Preprocessing(
      resize: .cover(height: 8, width: 8), centerCrop: nil, scale: 1, mean: [0], std: [1])
    let expected = try image.cropped(x: crop.x, y: crop.y, width: crop.width, height: crop.height)
      .resized(width: 8, height: 8)
    #expect(try recipe.apply(to: image).elements() == planes(expected))
  }

  struct Rectangle: Sendable {
    let (x, y, width, height): (Int, Int, Int, Int)

    init(_ x: Int, _ y: Int, _ width: Int, _ height: Int) {
      (self.x, self.y, self.width, self.height) = (x, y, width, height)
    }
  }

  @Test func targetsAreCheckedFilledAndNotOverrun() throws {
    let image = try noise(width: 9, height: 9)
    let recipe = Preprocessing(resize: .exact(height: 4, width: 5), centerCrop: nil)
    let expected: [Float] = try recipe.apply(to: image).elements()
    for shape in [[3, 4, 5], [1, 3, 4, 5]] as [Shape] {
      var buffer = [Float](repeating: .nan, count: 3 * 20 + 2)
      try buffer.withUnsafeMutableBytes { bytes in
        let base = try #require(bytes.baseAddress)
        try recipe.apply(to: image, into: MutableTensorView(shape, .float32, base + 4))
      }
      #expect(buffer[0].isNaN && buffer[61].isNaN)
      #expect(Array(buffer[1...60]) == expected)
    }
    var buffer = [Float](repeating: 7, count: 60)
    try buffer.withUnsafeMutableBytes { bytes in
      let base = try #require(bytes.baseAddress)
      func error(_ shape: Shape, _ type: ElementType = .float32) -> String? {
        failure { try recipe.apply(to: image, into: MutableTensorView(shape, type, base)) }
      }
      let start = "shape: expected float32 [1, 3, 4, 5], found"
      #expect(error([1, 3, 5, 4]) == "\(start) float32 [1, 3, 5, 4]")
      #expect(error([60]) == "\(start) float32 [60]")
      #expect(error([1, 3, 4, 5], .int32) == "\(start) int32 [1, 3, 4, 5]")
    }
    #expect(buffer == [Float](repeating: 7, count: 60))
  }

  @Test func rawPixelsEqualThePicture() throws {
    let image = try noise(width: 9, height: 7)
    let recipe = Preprocessing.torch(size: 4, resize: 5)
    let expected: [Float] = try recipe.apply(to: image).elements()
    try image.withPixels { pixels in
      let bytes = UnsafeRawBufferPointer(pixels)
      let values: [Float] = try recipe.apply(toRGB: bytes, width: 9, height: 7).elements()
      #expect(values == expected)
      #expect(
        failure { _ = try recipe.apply(toRGB: bytes, width: 9, height: 8) }
          == "argument: expected 216 bytes for 9 x 8 pixels, found 189")
      #expect(
        failure { _ = try recipe.apply(toRGB: bytes, width: -1, height: 8) }
          == "argument: expected at least 1 x 1 pixels, found -1 x 8")
    }
  }

  @Test func impossibleSizesAreErrors() throws {
    let image = try noise(width: 9, height: 6)
    func error(_ recipe: Preprocessing) -> String? { failure { _ = try recipe.apply(to: image) } }
    #expect(
      error(Preprocessing(resize: .exact(height: 0, width: 5), centerCrop: nil))
        == "argument: preprocessing.resize: expected a side in 1...16384, found 0")
    #expect(
      error(Preprocessing(resize: .none, centerCrop: .init(height: 8, width: 8)))
        == "argument: expected a crop within 9 x 6 pixels, found 8 x 8")
    #expect(
      error(Preprocessing(resize: .exact(height: 10_000, width: 10_000), centerCrop: nil))
        == "limit: expected at most 64000000 pixels, found 10000 x 10000")
    #expect(
      error(Preprocessing(resize: .shorterSide(16_384)))
        == "limit: expected at most 16384 pixels a side, found 24576 x 16384")
    #expect(
      error(Preprocessing(mean: [1, 2]))
        == "argument: preprocessing.mean: expected 1 or 3 numbers, found 2")
    #expect(
      error(Preprocessing(scale: .infinity))
        == "argument: preprocessing.scale: expected a finite number")
  }
}
