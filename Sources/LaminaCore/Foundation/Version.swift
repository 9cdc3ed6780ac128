/// Version of Lamina, the same as that of `lamina.h`.
public let laminaVersion = "0.1.0"
