// swift-tools-version: 6.1
import PackageDescription

let package = Package(
  name: "custom-layer",
  dependencies: [.package(name: "Lamina", path: "../../..")],
  targets: [
    .target(name: "Gates", dependencies: [.product(name: "Lamina", package: "Lamina")]),
    .executableTarget(
      name: "custom-layer",
      dependencies: ["Gates", .product(name: "Lamina", package: "Lamina")]),
  ],
  swiftLanguageModes: [.v6])
