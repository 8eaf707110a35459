"""The paper's method: acquisition, the stochastic decoder, training, parameter changes, the loop."""
