import Lamina
import Testing

@Suite struct ResizeTests {
  @Test(arguments: Fixtures.resizes.indices)
  func resizedPixelsArePillows(index: Int) throws {
    let fixture = Fixtures.resizes[index]
    let source = try noise(width: fixture.source.width, height: fixture.source.height)
    let result = try source.resized(
      width: fixture.target.width, height: fixture.target.height, fixture.interpolation)
    #expect(largestDifference(result.pixels, decoded(base64: fixture.pixels)) == 0)
  }

  @Test(arguments: Fixtures.resizeHashes.indices)
  func resizedPicturesArePillows(index: Int) throws {
    let fixture = Fixtures.resizeHashes[index]
    let source = try noise(width: fixture.source.width, height: fixture.source.height)
    let result = try source.resized(
      width: fixture.target.width, height: fixture.target.height, fixture.interpolation)
    #expect(hash(result.pixels) == fixture.hash)
  }

  /// `out(x, y) = Σ in(i, j) · (1 − |i − u|)⁺ · (1 − |j − v|)⁺` with `u = (x + ½) · in / out − ½`, clamped.
  @Test(arguments: [(31, 23, 12, 9), (31, 23, 70, 50), (16, 16, 8, 40), (5, 4, 1, 1)])
  func withoutAntialiasBilinearIsTheFormula(w: Int, h: Int, w2: Int, h2: Int) throws {
    let source = try noise(width: w, height: h)
    let pixels = source.pixels
    let result = try source.resized(width: w2, height: h2, .bilinear, antialias: false).pixels
    func taps(_ position: Int, _ from: Int, _ to: Int) -> (Int, Int, Double) {
      let u = min(
        max((Double(position) + 0.5) * Double(from) / Double(to) - 0.5, 0), Double(from - 1))
      return (Int(u), min(Int(u) + 1, from - 1), u - u.rounded(.down))
    }
    for y in 0..<h2 {
      let (top, bottom, v) = taps(y, h, h2)
      for x in 0..<w2 {
        let (left, right, u) = taps(x, w, w2)
        for c in 0..<3 {
          func at(_ i: Int, _ j: Int) -> Double { Double(pixels[3 * (j * w + i) + c]) }
          let upper = at(left, top) * (1 - u) + at(right, top) * u
          let lower = at(left, bottom) * (1 - u) + at(right, bottom) * u
          let expected = upper * (1 - v) + lower * v
          #expect(abs(expected - Double(result[3 * (y * w2 + x) + c])) < 1.001)
        }
      }
    }
  }

  @Test func theSameSizeIsACopy() throws {
    let source = try noise(width: 9, height: 7)
    for filter in Preprocessing.Interpolation.allCases {
      #expect(try source.resized(width: 9, height: 7, filter).pixels == source.pixels)
    }
  }

  @Test(arguments: Preprocessing.Interpolation.allCases, [true, false])
  func aFlatPictureStaysFlat(filter: Preprocessing.Interpolation, antialias: Bool) throws {
    let source = try Image(width: 13, height: 6, pixels: [UInt8](repeating: 201, count: 3 * 13 * 6))
    for (w, h) in [(1, 1), (4, 30), (50, 2), (13, 3)] {
      let result = try source.resized(width: w, height: h, filter, antialias: antialias)
      #expect(result.pixels == [UInt8](repeating: 201, count: 3 * w * h))
    }
  }

  @Test func impossibleSizesAreErrors() throws {
    let source = try noise(width: 9, height: 7)
    for (w, h) in [(0, 5), (5, 0), (-1, 5), (Int.min, Int.max)] {
      #expect(
        failure { _ = try source.resized(width: w, height: h) }
          == "argument: expected at least 1 x 1 pixels, found \(w) x \(h)")
    }
    #expect(
      failure { _ = try source.resized(width: 16_385, height: 1) }
        == "limit: expected at most 16384 pixels a side, found 16385 x 1")
    #expect(
      failure { _ = try source.resized(width: 10_000, height: 10_000) }
        == "limit: expected at most 64000000 pixels, found 10000 x 10000")
    #expect(
      failure { _ = try source.resized(shorterSide: Int.max) }
        == "limit: expected at most 16384 pixels a side, found \(Int.max) x \(Int.max)")
    #expect(
      failure { _ = try source.resized(shorterSide: 0) }
        == "argument: expected at least 1 x 1 pixels, found 0 x 0")
  }

  // MARK: Sizes and crops

  @Test(arguments: [
    (500, 375, 256, 341, 256), (375, 500, 256, 256, 341), (224, 224, 256, 256, 256),
    (333, 500, 256, 256, 384), (1000, 3, 4, 1333, 4),
  ])
  func theShorterSideDecides(w: Int, h: Int, side: Int, w2: Int, h2: Int) throws {
    let result = try noise(width: w, height: h).resized(shorterSide: side, .nearest)
    #expect(result.width == w2 && result.height == h2)
  }

  /// `round(margin / 2)` in Python: 0.5 → 0, 1.5 → 2, 2.5 → 2, 3.5 → 4.
  @Test(arguments: [(5, 0), (6, 0), (7, 1), (8, 2), (9, 2), (10, 2), (11, 3), (12, 4)])
  func centreCropsRoundToEven(width: Int, left: Int) throws {
    let pixels: [UInt8] = (0..<width).flatMap { [UInt8($0), 0, 0] }
    let image = try Image(width: width, height: 1, pixels: pixels)
    #expect(try image.centerCropped(width: 5, height: 1).pixels[0] == UInt8(left))
    let column = try Image(width: 1, height: width, pixels: pixels)
    #expect(try column.centerCropped(width: 1, height: 5).pixels[0] == UInt8(left))
  }

  @Test func cropsStayWithinThePicture() throws {
    let image = try Image(width: 3, height: 2, pixels: (0..<18).map { UInt8($0) })
    #expect(try image.cropped(x: 1, y: 1, width: 2, height: 1).pixels == Array(12..<18))
    for (x, y, w, h) in [
      (-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 4, 1), (2, 0, 2, 1), (0, 1, 1, 2), (0, 0, 0, 1),
      (Int.max, 0, 1, 1), (0, 0, Int.max, 1),
    ] {
      #expect(
        failure { _ = try image.cropped(x: x, y: y, width: w, height: h) }
          == "argument: expected a rectangle within 3 x 2 pixels, found \(w) x \(h) at (\(x), \(y))"
      )
    }
    #expect(
      failure { _ = try image.centerCropped(width: 3, height: 3) }
        == "argument: expected a crop within 3 x 2 pixels, found 3 x 3")
  }

  @Test func picturesNeedTheirPixels() {
    #expect(
      failure { _ = try Image(width: 2, height: 2, pixels: [1, 2, 3]) }
        == "argument: expected 12 bytes for 2 x 2 pixels, found 3")
    #expect(
      failure { _ = try Image(width: 0, height: 2, pixels: []) }
        == "argument: expected at least 1 x 1 pixels, found 0 x 2")
    #expect(
      failure { _ = try Image(width: Int.max, height: Int.max, pixels: []) }
        == "limit: expected at most 16384 pixels a side, found \(Int.max) x \(Int.max)")
  }
}
