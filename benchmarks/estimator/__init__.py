"""``mnistcore.sklearn.MLPClassifier`` beside scikit-learn's: the same calls, the import swapped."""
