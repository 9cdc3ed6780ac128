extension ModelCatalog {
  /// The classes of CIFAR-10 in the order of its data set (Krizhevsky 2009).
  static let cifar10Labels = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
  ]

  /// The classes of Fashion-MNIST (Xiao, Rasul, Vollgraf 2017).
  static let fashionMNISTLabels = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
  ]

  /// The classes of MNIST.
  static let digitLabels = (0..<10).map(String.init)
}
