import CLamina
import LaminaTestSupport
import Testing

@Suite struct ImageTests {
  @Test func pixelsAreThoseOfTheFile() throws {
    let fixture = try Fixture()
    var image: lamina_image = 0
    try succeed { lamina_image_load(fixture.context, fixture.picture, &image, $0) }
    defer { lamina_image_release(image) }
    var info = lamina_image_info()
    info.struct_size = UInt32(MemoryLayout<lamina_image_info>.size)
    try succeed { lamina_image_get_info(image, &info, $0) }
    #expect(info.width == 28)
    #expect(info.height == 28)
    #expect(info.row_bytes == 84)
    for y in 0..<28 {
      for x in 0..<84 {
        let expected: UInt8 = (12..<16).contains(x / 3) && (4..<24).contains(y) ? 255 : 0
        #expect(info.pixels[84 * y + x] == expected)
      }
    }
  }

  @Test func rowsMayLieApart() throws {
    let fixture = try Fixture()
    var image: lamina_image = 0
    let pixels: [UInt8] = [1, 2, 3, 4, 5, 6, 99, 7, 8, 9, 10, 11, 12]
    try succeed { lamina_image_create(fixture.context, pixels, 2, 2, 7, &image, $0) }
    defer { lamina_image_release(image) }
    var info = lamina_image_info()
    info.struct_size = UInt32(MemoryLayout<lamina_image_info>.size)
    try succeed { lamina_image_get_info(image, &info, $0) }
    #expect(Array(UnsafeBufferPointer(start: info.pixels, count: 12)) == Array(1...12))
  }

  @Test func impossibleSizesAreArguments() throws {
    let fixture = try Fixture()
    var image: lamina_image = 0
    let bad: [(Int, Int, Int)] = [
      (0, 1, 0), (1, 0, 0), (-1, 1, 0), (1, Int.max, 0), (16_385, 1, 0), (1 << 62, 1 << 62, 0),
      (2, 1, 5), (2, 1, -1), (2, 1, Int.max),
    ]
    for (width, height, rowBytes) in bad {
      #expect(
        failure {
          lamina_image_create(fixture.context, fixture.pixels, width, height, rowBytes, &image, $0)
        }?.status == LAMINA_ERROR_ARGUMENT, "\(width) \(height) \(rowBytes)")
    }
    #expect(image == 0)
  }

  @Test func brokenFilesAreImages() throws {
    let fixture = try Fixture()
    var image: lamina_image = 0
    var bytes: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0]
    #expect(
      failure { lamina_image_decode(fixture.context, &bytes, bytes.count, &image, $0) }?.status
        == LAMINA_ERROR_IMAGE)
    #expect(
      failure { lamina_image_decode(fixture.context, &bytes, -1, &image, $0) }
        == Failure(LAMINA_ERROR_ARGUMENT, "data: expected a count that fits memory"))
    #expect(
      failure { lamina_image_load(fixture.context, fixture.path, &image, $0) }?.status
        == LAMINA_ERROR_IMAGE)
    #expect(image == 0)
  }

  @Test func preprocessingMakesABatch() throws {
    let fixture = try Fixture()
    var images = [fixture.image, fixture.image, fixture.image]
    let count = 3 * 28 * 28
    for capacity in [0, 4 * count - 1, 4 * count, 4 * count + 4] {
      let data = Guarded<UInt8>(max(capacity, 1))
      var batch = tensor([], 0, data.pointer, byteCount: capacity)
      let found = failure { lamina_model_preprocess(fixture.model, images, 3, &batch, $0) }
      #expect(batch.extents == [3, 1, 28, 28])
      #expect(batch.needed == 4 * count)
      #expect(batch.byte_count == capacity)
      if capacity < 4 * count {
        #expect(
          found
            == Failure(
              LAMINA_ERROR_BUFFER,
              "expected \(4 * count) bytes for float32 [3, 1, 28, 28], found \(capacity)"))
        #expect(data.isUntouched())
      } else {
        #expect(found == nil)
        #expect(data.isUntouched(from: 4 * count))
        let floats = data.bytes.assumingMemoryBound(to: Float.self)
        #expect(floats[0] == -Float(0.1307) / 0.3081)
        #expect(Array(floats[0..<784]) == Array(floats[1568..<2352]))
      }
    }
    for count in [0, -1] {
      var batch = tensor([], 0)
      #expect(
        failure { lamina_model_preprocess(fixture.model, images, count, &batch, $0) }?.status
          == LAMINA_ERROR_ARGUMENT)
    }
    images[1] = fixture.model
    var batch = tensor([], 0)
    #expect(
      failure { lamina_model_preprocess(fixture.model, images, 3, &batch, $0) }
        == Failure(LAMINA_ERROR_HANDLE, "expected a handle of a image, found a model"))
  }
}
