import Lamina

extension LayerRegistry {
  /// Adds this target's layers, a line for each.
  ///
  /// - Throws: `argument` when a kind is taken.
  public mutating func registerGates() throws {
    try register(ChannelGate.self, provider: "com.example")
  }
}
