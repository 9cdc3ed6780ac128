import CLamina
import LaminaTestSupport
import Testing

@Suite struct HandleTests {
  @Test func childrenOutliveTheirParents() throws {
    let fixture = try Fixture()
    lamina_context_release(fixture.context)
    lamina_model_release(fixture.model)
    var predictions = [lamina_prediction](repeating: lamina_prediction(), count: 3)
    var count = 0
    try succeed {
      lamina_session_predict(fixture.session, fixture.image, &predictions, 3, &count, $0)
    }
    #expect(count == 3)
    #expect(
      failure { lamina_model_save(fixture.model, "/x", $0) }
        == Failure(
          LAMINA_ERROR_HANDLE,
          "expected a handle of a model, found one that was released or never made"))
  }

  @Test func releasingTwiceLeavesTheNextObjectAlone() throws {
    let fixture = try Fixture()
    var first: lamina_image = 0
    try succeed { lamina_image_create(fixture.context, fixture.pixels, 28, 28, 0, &first, $0) }
    lamina_image_release(first)
    var second: lamina_image = 0
    try succeed { lamina_image_create(fixture.context, fixture.pixels, 28, 28, 0, &second, $0) }
    #expect(first != second)
    lamina_image_release(first)
    lamina_model_release(second)
    lamina_context_release(second)
    lamina_session_release(second)
    var info = lamina_image_info()
    info.struct_size = UInt32(MemoryLayout<lamina_image_info>.size)
    try succeed { lamina_image_get_info(second, &info, $0) }
    #expect(info.width == 28)
    lamina_image_release(second)
  }

  @Test func noHandleIsGivenTwice() throws {
    let fixture = try Fixture()
    var seen: Set<UInt64> = []
    for _ in 0..<10_000 {
      var image: lamina_image = 0
      try succeed { lamina_image_create(fixture.context, fixture.pixels, 1, 1, 0, &image, $0) }
      #expect(seen.insert(image).inserted)
      lamina_image_release(image)
    }
  }

  @Test func releasingNothingIsAllowed() {
    for handle in [0, UInt64.max, 0xC1 << 56] {
      lamina_context_release(handle)
      lamina_model_release(handle)
      lamina_session_release(handle)
      lamina_image_release(handle)
    }
  }

  @Test func aPinnedObjectOutlivesItsRelease() async throws {
    let fixture = try Fixture()
    let pixels = [Float](repeating: 0.5, count: 64 * 28 * 28)
    let session = fixture.session
    async let run = Self.run(session, pixels)
    lamina_session_release(session)
    lamina_model_release(fixture.model)
    lamina_context_release(fixture.context)
    let status = await run
    #expect(status == LAMINA_OK || status == LAMINA_ERROR_HANDLE)
  }

  private static func run(_ session: lamina_session, _ pixels: [Float]) async -> lamina_status {
    var pixels = pixels
    var result = [Float](repeating: 0, count: 640)
    return pixels.withUnsafeMutableBytes { input in
      result.withUnsafeMutableBytes { output in
        var given = tensor(
          [64, 1, 28, 28], LAMINA_FLOAT32, input.baseAddress, byteCount: input.count)
        var wanted = tensor([], 0, output.baseAddress, byteCount: output.count)
        return lamina_session_run(session, &given, 1, &wanted, 1, nil)
      }
    }
  }
}
