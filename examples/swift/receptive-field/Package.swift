// swift-tools-version: 6.1
import PackageDescription

let package = Package(
  name: "receptive-field",
  dependencies: [.package(name: "Lamina", path: "../../..")],
  targets: [
    .executableTarget(
      name: "receptive-field", dependencies: [.product(name: "Lamina", package: "Lamina")])
  ])
