"""The tables of the SchNet papers, measured again: recipes, one training for each row and split.

- A: K. T. Schütt, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko, K.-R. Müller,
  J. Chem. Phys. 148, 241722 (2018), doi:10.1063/1.5019779;
- B: K. T. Schütt, M. Gastegger, A. Tkatchenko, K.-R. Müller, Lecture Notes in Computer Science
  11700, 311 (2019), doi:10.1007/978-3-030-28954-6_17;
- C: K. T. Schütt, A. Tkatchenko, K.-R. Müller, "Learning representations of molecules and materials
  with atomistic neural networks", Lecture Notes in Physics 968, 215 (2020),
  doi:10.1007/978-3-030-40245-7_11;
- D: K. T. Schütt, "Lernen von Repräsentationen für atomistische Systeme mit tiefen neuronalen
  Netzen", Ausgezeichnete Informatikdissertationen 2018, summary of a dissertation at TU Berlin.
"""
