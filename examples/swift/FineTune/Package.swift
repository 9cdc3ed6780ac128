// swift-tools-version: 6.1
import PackageDescription

let package = Package(
  name: "FineTune",
  dependencies: [.package(name: "Lamina", path: "../../..")],
  targets: [
    .executableTarget(
      name: "FineTune", dependencies: [.product(name: "Lamina", package: "Lamina")])
  ])
