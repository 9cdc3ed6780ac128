import LaminaTestSupport
import Lamina
import Testing

struct RegisterTests {
  @Test func standardLayersAreSortedAndUnique() {
    let kinds = standardLayers.map { $0.kind }
    #expect(kinds == Set(kinds).sorted())
    #expect(LayerRegistry.standard.kinds == kinds)
  }

  @Test func standardLayersAreSuppliedByLamina() throws {
    for layer in standardLayers {
      let definition = try LayerRegistry.standard.definition(of: layer.kind)
      #expect(definition.provider == "lamina")
      #expect(layer.kind.name.hasPrefix("lamina."))
    }
  }

  @Test func standardRewritesAreUnique() {
    let names = standardRewrites.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(LayerRegistry.standard.rewrites.map(\.name) == names)
  }
}
