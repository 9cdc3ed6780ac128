import CLamina
import LaminaCore
import Testing

@Suite struct LibraryTests {
  @Test func versionsAreThoseOfTheHeader() {
    #expect(
      String(cString: lamina_version())
        == "\(LAMINA_VERSION_MAJOR).\(LAMINA_VERSION_MINOR).\(LAMINA_VERSION_PATCH)")
    #expect(lamina_abi_version() == LAMINA_ABI_VERSION)
  }

  @Test func statusNumbersAreTheErrorsOfSwift() {
    let numbers = [
      LAMINA_ERROR_ARGUMENT, LAMINA_ERROR_HANDLE, LAMINA_ERROR_STATE, LAMINA_ERROR_SHAPE,
      LAMINA_ERROR_BUFFER, LAMINA_ERROR_NOT_FOUND, LAMINA_ERROR_FORMAT, LAMINA_ERROR_UNSUPPORTED,
      LAMINA_ERROR_GRAPH, LAMINA_ERROR_WEIGHTS, LAMINA_ERROR_IMAGE, LAMINA_ERROR_IO,
      LAMINA_ERROR_LIMIT, LAMINA_ERROR_BUSY, LAMINA_ERROR_CANCELLED, LAMINA_ERROR_FORKED,
      LAMINA_ERROR_INTERNAL,
    ]
    #expect(numbers.map { Int32($0) } == LaminaError.Code.allCases.map(\.rawValue))
    let names = LaminaError.Code.allCases.map { String(cString: lamina_status_name($0.rawValue)) }
    #expect(Set(names).count == names.count)
    #expect(String(cString: lamina_status_name(60)) == "not found")
    #expect(String(cString: lamina_status_name(0)) == "ok")
    for number in [-1, 1, 901, Int32.max, .min] {
      #expect(String(cString: lamina_status_name(number)) == "unknown")
    }
  }

  @Test func elementSizesAreThoseOfTheTypes() {
    let sizes = (1...13).map { lamina_type_size($0) }
    #expect(sizes == [4, 2, 2, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1])
    for type in [0, -1, 14, Int32.max, .min] { #expect(lamina_type_size(type) == 0) }
  }

  @Test func theCatalogEndsWithNull() {
    let count = lamina_catalog_count()
    let names = (0..<count).compactMap { lamina_catalog_name($0).map { String(cString: $0) } }
    #expect(names.count == count)
    #expect(names.contains("resnet50"))
    for index in [count, -1, Int.max, .min] { #expect(lamina_catalog_name(index) == nil) }
  }
}
