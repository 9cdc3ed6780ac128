// swift-tools-version: 6.1
import PackageDescription

/// Lamina lies two folders up. A copy of this folder elsewhere names it by another path, or by its repository's address.
let package = Package(
  name: "swish-swift",
  products: [.library(name: "swish", type: .dynamic, targets: ["Swish"])],
  dependencies: [.package(name: "Lamina", path: "../..")],
  targets: [
    .target(name: "Swish", dependencies: [.product(name: "LaminaPluginKit", package: "Lamina")])
  ],
  swiftLanguageModes: [.v6]
)
