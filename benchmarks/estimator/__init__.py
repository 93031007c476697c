"""``mnistcore.sklearn.MLPClassifier`` beside scikit-learn's: same calls, another import."""
