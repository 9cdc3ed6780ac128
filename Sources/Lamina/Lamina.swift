@_exported import LaminaBlocks
@_exported import LaminaCore
@_exported import LaminaImages
@_exported import LaminaLayers
@_exported import LaminaModels
@_exported import LaminaPlugins
@_exported import LaminaTraining
@_exported import LaminaWeights
