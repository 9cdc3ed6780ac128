/// Which pixels of a picture the taps of a window meet at each of its positions, over 1 to 3 axes: a
/// matrix [taps, positions] of pixels, zero outside the picture.
struct Patches: Sendable {
  private let kernel: [Int]
  private let strides: [Int]
  private let dilations: [Int]
  private let begins: [Int]
  private let picture: [Int]
  private let places: [Int]

  let taps: Int
  /// Pixels of the picture.
  let pixels: Int
  /// Positions of the window.
  let positions: Int
  /// Whether the matrix is the picture itself.
  let areThePicture: Bool

  /// A window over a picture, of which position 0 begins `begins` before it.
  init(window: SpatialWindow, begins: [Int], picture: [Int], positions: [Int]) {
    func three(_ values: [Int], _ fill: Int) -> [Int] {
      [Int](repeating: fill, count: 3 - values.count) + values
    }
    kernel = three(window.kernel, 1)
    strides = three(window.strides, 1)
    dilations = three(window.dilations, 1)
    self.begins = three(begins, 0)
    self.picture = three(picture, 1)
    places = three(positions, 1)
    taps = window.taps
    pixels = picture.reduce(1, *)
    self.positions = positions.reduce(1, *)
    areThePicture =
      taps == 1 && picture == positions && begins.allSatisfy { $0 == 0 }
      && window.strides.allSatisfy { $0 == 1 }
  }

  /// For each tap, each row of positions: the row's start in the matrix, and the positions of it inside
  /// the picture with the pixel of the first; none where the row is outside.
  @inline(__always)
  private func forEachRow(_ body: (_ row: Int, _ inside: Range<Int>, _ pixel: Int) -> Void) {
    var row = 0
    for tap in 0..<taps {
      let z0 = tap / (kernel[1] * kernel[2]) * dilations[0] - begins[0]
      let y0 = tap / kernel[2] % kernel[1] * dilations[1] - begins[1]
      let x0 = tap % kernel[2] * dilations[2] - begins[2]
      let first = min(x0 >= 0 ? 0 : (strides[2] - 1 - x0) / strides[2], places[2])
      let end =
        x0 >= picture[2] ? first : min((picture[2] - 1 - x0) / strides[2] + 1, places[2])
      for z in 0..<places[0] {
        let pictureZ = z * strides[0] + z0
        for y in 0..<places[1] {
          let pictureY = y * strides[1] + y0
          let isInside =
            pictureZ >= 0 && pictureZ < picture[0] && pictureY >= 0 && pictureY < picture[1]
          body(
            row, isInside ? first..<max(first, end) : 0..<0,
            (pictureZ * picture[1] + pictureY) * picture[2] + first * strides[2] + x0)
          row += places[2]
        }
      }
    }
  }

  /// The matrix of `plane`.
  func gather(_ plane: UnsafePointer<Float>, to columns: UnsafeMutablePointer<Float>) {
    let (stride, width) = (strides[2], places[2])
    forEachRow { row, inside, pixel in
      let to = columns + row
      to.update(repeating: 0, count: inside.lowerBound)
      (to + inside.upperBound).update(repeating: 0, count: width - inside.upperBound)
      guard !inside.isEmpty else { return }
      if stride == 1 {
        (to + inside.lowerBound).update(from: plane + pixel, count: inside.count)
      } else {
        for x in inside { to[x] = plane[pixel + (x - inside.lowerBound) * stride] }
      }
    }
  }

  /// Adds each element of the matrix to the pixel it stands for.
  func scatter(_ columns: UnsafePointer<Float>, addingTo plane: UnsafeMutablePointer<Float>) {
    let stride = strides[2]
    forEachRow { row, inside, pixel in
      let from = columns + row
      if stride == 1 {
        for x in inside { plane[pixel + x - inside.lowerBound] += from[x] }
      } else {
        for x in inside { plane[pixel + (x - inside.lowerBound) * stride] += from[x] }
      }
    }
  }
}
