"""A metric that is no mean over images, without a detector."""

from edgecnn.tasks.classification.metric import Accuracy


class Ranked(Accuracy):
    name = "ap50"

    def scores(self):
        return None

    def value(self):
        return float(self.image_scores().mean())
